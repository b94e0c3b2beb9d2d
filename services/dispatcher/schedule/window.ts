/**
 * How many attempts at a time the receivers of one owner at one host get. The window adapts to the host by additive increase
 * and multiplicative decrease, as TCP's does (RFC 5681):
 *
 *   slow start ──a success adds one──▶ doubles with each round trip
 *       │ the first sign of congestion
 *       ▼
 *   avoidance ──a window of successes adds one──▶
 *       ▲   │ congestion: no answer, 429 or 5xx: half; an answer that takes much longer than usual: a fifth less
 *       └───┘ once per round trip
 *
 * It stays between a floor, which each host gets, and a ceiling. It grows only while it is used.
 */

export interface WindowOptions {
  floor: number;
  ceiling: number;
}

/** An answer is slow if it takes more than this, and twice the usual time in addition. */
const slowMs = 1_000;
const slowFactor = 2;
/** The share of a longer duration by which the usual time rises with each answer. */
const driftShare = 0.005;

export class AttemptWindow {
  readonly #floor: number;
  readonly #ceiling: number;
  #size: number;
  /** Above this size the window grows by one for each window of successes. */
  #threshold = Number.POSITIVE_INFINITY;
  #usualMs = Number.POSITIVE_INFINITY;
  #shrunkAt = Number.NEGATIVE_INFINITY;

  constructor({ floor, ceiling }: WindowOptions) {
    this.#floor = floor;
    this.#ceiling = Math.max(floor, ceiling);
    this.#size = floor;
  }

  /** Attempts at one receiver. */
  get size(): number {
    return Math.floor(this.#size);
  }

  /**
   * Attempts that were sent before the last decrease say nothing about the window after it.
   *
   * @param attempt its times by one monotonic clock in milliseconds; `up`: the receiver accepts requests; `inFlight`:
   * attempts in flight when it started, including this one
   */
  ended(attempt: { sentAt: number; endedAt: number; up: boolean; inFlight: number }): void {
    const { sentAt, endedAt, up, inFlight } = attempt;
    const ms = endedAt - sentAt;
    if (!up) return this.#shrink(0.5, sentAt, endedAt);
    const isSlow = ms > slowFactor * this.#usualMs + slowMs;
    this.#usualMs = ms < this.#usualMs ? ms : this.#usualMs + (ms - this.#usualMs) * driftShare;
    if (isSlow) return this.#shrink(0.8, sentAt, endedAt);
    if (sentAt < this.#shrunkAt) return;
    if (inFlight < this.#size / 2) return;
    const growth = this.#size < this.#threshold ? 1 : 1 / this.#size;
    this.#size = Math.min(this.#ceiling, this.#size + growth);
  }

  #shrink(factor: number, sentAt: number, now: number): void {
    if (sentAt < this.#shrunkAt) return;
    this.#shrunkAt = now;
    this.#size = Math.max(this.#floor, this.#size * factor);
    this.#threshold = this.#size;
  }
}
