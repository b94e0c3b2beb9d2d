/**
 * Measures how long small work waits for the event loop of this process, because of other work there, or because other
 * processes use the cores. It is the mean wait of a request that arrives at a random moment: if a timer is late by d
 * milliseconds within T, that is d²/2T.
 */

/** Interval of the timer, in milliseconds. */
const timerMs = 5;
/** Reading more often returns the last result. */
const windowMs = 50;
/** Earlier results count e times less after this time. */
const memoryMs = 500;
/** A longer mean wait counts as this one, so that a pause is forgotten within two seconds. */
const maxMeanMs = 2;
/** Without a read for this time the timer stops, so that an idle process does not wake up for it. */
const idleMs = 2_000;

export class LoopWait {
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  #firedAt = 0;
  #readAt = 0;
  #squares = 0;
  #meanMs: number | undefined;
  #windowStart = 0;
  #isExcluded = false;

  /** @param now a monotonic clock in milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Returns the mean wait of the last second or so, from 0 to 2 milliseconds. Starts to measure if it has not been read for two
   * seconds.
   */
  read(): number {
    const now = this.#now();
    this.#readAt = now;
    if (this.#timer === undefined) {
      this.#firedAt = this.#windowStart = now;
      this.#timer = setInterval(() => this.#tick(), timerMs).unref();
    }
    const elapsedMs = now - this.#windowStart;
    if (elapsedMs >= windowMs) {
      const waitMs = Math.min(this.#squares / 2 / elapsedMs, maxMeanMs);
      const before = this.#meanMs ?? waitMs;
      this.#meanMs = before + (1 - Math.exp(-elapsedMs / memoryMs)) * (waitMs - before);
      this.#squares = 0;
      this.#windowStart = now;
    }
    return this.#meanMs ?? 0;
  }

  /** Does not count what happens until `include`: large work, which is slowed if small work waits for anything else. */
  exclude(): void {
    this.#isExcluded = true;
  }

  include(): void {
    this.#isExcluded = false;
    this.#firedAt = this.#now();
  }

  #tick(): void {
    const now = this.#now();
    if (!this.#isExcluded) this.#squares += Math.max(0, now - this.#firedAt - timerMs) ** 2;
    this.#firedAt = now;
    if (now - this.#readAt < idleMs) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#meanMs = undefined;
    this.#squares = 0;
  }
}
