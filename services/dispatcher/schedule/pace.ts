/**
 * Estimates when attempts that found no slot will find one. Slots become free at the pace of the attempts in
 * flight, and each deferred attempt gets a time of its own at that pace. A thousand attempts at a receiver
 * that takes 15 s therefore do not all return after a second, only to be deferred again.
 */

/** Also the pace of attempts of which none has ended yet. */
const minMs = 250;
const maxMs = 600_000;

export class Pace {
  /** Start times of the attempts in flight, oldest first. */
  readonly #starts = new Set<{ at: number }>();
  #averageMs = 0;
  #nextAt = 0;

  get inFlight(): number {
    return this.#starts.size;
  }

  /**
   * Returns the expected duration of an attempt in milliseconds: a moving average, or the age of the oldest
   * attempt in flight if that is longer.
   */
  expectedMs(now: number): number {
    for (const { at } of this.#starts) return Math.max(this.#averageMs, now - at);
    return this.#averageMs;
  }

  /**
   * Counts an attempt as in flight until the returned function is called, without a time if nothing was sent.
   */
  start(at: number): (endedAt: number | undefined) => void {
    const start = { at };
    this.#starts.add(start);
    return (endedAt) => {
      this.#starts.delete(start);
      if (endedAt !== undefined) this.#averageMs += (endedAt - at - this.#averageMs) / 4;
    };
  }

  /**
   * Returns the seconds until an attempt deferred now should be tried again: from 0.25 s to 20 min.
   *
   * @param chance from 0 to 1, for jitter
   */
  defer(now: number, chance: number): number {
    const interval = Math.max(this.expectedMs(now), minMs) / Math.max(this.inFlight, 1);
    this.#nextAt = Math.min(Math.max(this.#nextAt, now) + interval, now + maxMs);
    const delayMs = Math.max(this.#nextAt - now, minMs);
    // Delays at the maximum are the same for many attempts, so they need the most jitter.
    const jitter = delayMs < maxMs ? 0.2 : 1;
    return (delayMs * (1 + jitter * chance)) / 1000;
  }
}
