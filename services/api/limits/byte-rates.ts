/**
 * Limits the bytes per second of a caller: what it sends, and what it gets over HTTP. Large requests and answers
 * take processor time by their size, so that a few callers with nothing else to do could keep a process busy.
 * A request is admitted while its caller has bytes left; its own bytes are charged afterwards, so a single
 * request of any size is possible. Buckets live in this process only.
 */

/** Smaller requests and answers are not charged: the number of requests bounds them. */
export const minChargedBytes = 4096;
/** The bytes that a caller may use at once, as seconds of its rate. */
const burstSeconds = 8;
/** Beyond this number, the bucket that was used least recently is dropped, and its caller has a full one again. */
const maxBuckets = 10_000;

export class ByteRates {
  readonly #perSecond: number;
  readonly #now: () => number;
  /** Bytes left, which may be negative, at a time in milliseconds. Ordered by last use. */
  readonly #buckets = new Map<string, { left: number; at: number }>();

  /** @param now a monotonic clock in milliseconds */
  constructor(perSecond: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#now = now;
  }

  /** Returns 0 if the caller has bytes left, or the seconds until it has. */
  check(key: string): number {
    if (!this.#buckets.has(key)) return 0;
    const left = this.#getLeft(key);
    return left > 0 ? 0 : Math.max(1, Math.ceil(-left / this.#perSecond));
  }

  charge(key: string, bytes: number): void {
    if (bytes < minChargedBytes) return;
    const left = this.#getLeft(key) - bytes;
    this.#buckets.delete(key);
    this.#buckets.set(key, { left, at: this.#now() });
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > maxBuckets && oldest !== undefined) this.#buckets.delete(oldest);
  }

  #getLeft(key: string): number {
    const burst = burstSeconds * this.#perSecond;
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) return burst;
    return Math.min(burst, bucket.left + ((this.#now() - bucket.at) / 1000) * this.#perSecond);
  }
}
