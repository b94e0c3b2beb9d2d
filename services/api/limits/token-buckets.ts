/**
 * Rate limits by token bucket, one bucket per key: a bucket holds one minute's tokens and refills at the
 * rate. Buckets live in this process only; with several processes behind one address the effective rate is
 * the sum.
 */

/**
 * Maximum number of buckets. Beyond it the least recently used is dropped, and its key starts with a full
 * bucket.
 */
const maxBuckets = 100_000;

export class TokenBuckets {
  readonly #perMinute: number;
  readonly #now: () => number;
  /** Ordered by last use. */
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  /** @param now a monotonic clock in milliseconds */
  constructor(perMinute: number, now: () => number = () => performance.now()) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  /** Number of keys with a bucket. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one token if there is one. Returns 0, or the seconds until a token is available. */
  take(key: string): number {
    const now = this.#now();
    const tokens = this.#getTokens(key, now);
    const taken = tokens >= 1;
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: taken ? tokens - 1 : tokens, at: now });
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= maxBuckets) break;
      this.#buckets.delete(oldest);
    }
    return taken ? 0 : this.#toWait(tokens);
  }

  /** Like `take`, but leaves the token in the bucket. */
  check(key: string): number {
    const tokens = this.#getTokens(key, this.#now());
    return tokens >= 1 ? 0 : this.#toWait(tokens);
  }

  #getTokens(key: string, now: number): number {
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) return this.#perMinute;
    return Math.min(this.#perMinute, bucket.tokens + ((now - bucket.at) / 60_000) * this.#perMinute);
  }

  #toWait(tokens: number): number {
    return Math.max(1, Math.ceil(((1 - tokens) * 60) / this.#perMinute));
  }
}
