/**
 * A rate for each of many keys, by token buckets: a bucket holds what may be used at once, and fills at the rate. They
 * live in this process alone; with several processes behind one address the rate of all together is the sum.
 */

/** Buckets at most; beyond that the one that was used longest ago is forgotten, and begins full again. */
const maxBuckets = 100_000;

export class TokenBuckets {
  readonly #perMinute: number;
  readonly #now: () => number;
  /** In the order of their last use. */
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  /** @param now milliseconds of a clock that does not jump */
  constructor(perMinute: number, now: () => number = () => performance.now()) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  /** Takes one token. Returns the seconds until there is one, 0 where it was there. */
  take(key: string): number {
    const now = this.#now();
    const bucket = this.#buckets.get(key) ?? { tokens: this.#perMinute, at: now };
    const tokens = Math.min(this.#perMinute, bucket.tokens + ((now - bucket.at) / 60_000) * this.#perMinute);
    const taken = tokens >= 1;
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: taken ? tokens - 1 : tokens, at: now });
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= maxBuckets) break;
      this.#buckets.delete(oldest);
    }
    return taken ? 0 : Math.max(1, Math.ceil(((1 - tokens) * 60) / this.#perMinute));
  }
}
