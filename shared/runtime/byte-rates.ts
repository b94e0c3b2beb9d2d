/**
 * Limits bytes per second, by name: what a caller sends and gets (api), and what the turns of an owner store (worker). Large content takes
 * processor time by its size, so that a few callers with nothing else to do could keep a process busy. While there are bytes left, any number
 * may be used, and is charged afterwards: content of any size is possible. Buckets live in this process only.
 */

/** Less is not charged: the number of requests and of turns bounds it. */
export const minChargedBytes = 4096;
/** The bytes that may be used at once, as seconds of the rate. */
const burstSeconds = 8;
/** Beyond this number, the bucket that was used least recently is dropped, and its name has a full one again. */
const maxBuckets = 10_000;

export class ByteRates {
  readonly perSecond: number;
  readonly #now: () => number;
  /** Bytes left, which may be negative, at a time in milliseconds. Ordered by last use. */
  readonly #buckets = new Map<string, { left: number; at: number }>();

  /** @param now a monotonic clock in milliseconds */
  constructor(perSecond: number, now: () => number = () => performance.now()) {
    this.perSecond = perSecond;
    this.#now = now;
  }

  /** Returns 0 if there are bytes left, or the seconds until there are. */
  check(key: string): number {
    if (!this.#buckets.has(key)) return 0;
    const left = this.#getLeft(key);
    return left > 0 ? 0 : Math.max(1, Math.ceil(-left / this.perSecond));
  }

  charge(key: string, bytes: number): void {
    if (bytes < minChargedBytes) return;
    const left = this.#getLeft(key) - bytes;
    this.#buckets.delete(key);
    this.#buckets.set(key, { left, at: this.#now() });
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > maxBuckets && oldest !== undefined) this.#buckets.delete(oldest);
  }

  /**
   * Charges bytes that are used as soon as there are any left.
   *
   * @returns the milliseconds until then. Each call waits for those before it
   */
  reserve(key: string, bytes: number): number {
    if (bytes < minChargedBytes) return 0;
    const left = this.#getLeft(key);
    this.charge(key, bytes);
    return Math.max(0, (-1000 * left) / this.perSecond);
  }

  #getLeft(key: string): number {
    const burst = burstSeconds * this.perSecond;
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) return burst;
    return Math.min(burst, bucket.left + ((this.#now() - bucket.at) / 1000) * this.perSecond);
  }
}
