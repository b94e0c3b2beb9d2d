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
/** Up to this number, the order of use is not kept: none is about to be dropped, and keeping it takes time. */
const maxUnordered = maxBuckets / 2;

interface Bucket {
  tokens: number;
  /** When it had these tokens. */
  at: number;
}

export class TokenBuckets {
  readonly perMinute: number;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();

  /** @param now a monotonic clock in milliseconds */
  constructor(perMinute: number, now: () => number = () => performance.now()) {
    this.perMinute = perMinute;
    this.#now = now;
  }

  /** Number of keys with a bucket. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one token if there is one. Returns 0, or the seconds until a token is available. */
  take(key: string): number {
    const now = this.#now();
    const bucket = this.#buckets.get(key);
    const tokens = this.#getTokens(bucket, now);
    const taken = tokens >= 1;
    if (bucket === undefined) {
      this.#buckets.set(key, { tokens: tokens - 1, at: now });
      this.#dropOldest();
    } else {
      bucket.tokens = taken ? tokens - 1 : tokens;
      bucket.at = now;
      if (this.#buckets.size > maxUnordered) {
        this.#buckets.delete(key);
        this.#buckets.set(key, bucket);
      }
    }
    return taken ? 0 : this.#toWait(tokens);
  }

  /** Like `take`, but leaves the token in the bucket. */
  check(key: string): number {
    const tokens = this.#getTokens(this.#buckets.get(key), this.#now());
    return tokens >= 1 ? 0 : this.#toWait(tokens);
  }

  #dropOldest(): void {
    if (this.#buckets.size <= maxBuckets) return;
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }

  #getTokens(bucket: Bucket | undefined, now: number): number {
    if (bucket === undefined) return this.perMinute;
    return Math.min(this.perMinute, bucket.tokens + ((now - bucket.at) / 60_000) * this.perMinute);
  }

  #toWait(tokens: number): number {
    return Math.max(1, Math.ceil(((1 - tokens) * 60) / this.perMinute));
  }
}
