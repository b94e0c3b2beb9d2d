/**
 * Estimates when attempts that found no slot will find one. Slots become free at the pace of the attempts in
 * flight, and each deferred attempt gets a time of its own at that pace. A thousand attempts at a receiver
 * that takes 15 s therefore do not all return after a second, only to be deferred again.
 */

/** Also the pace of attempts of which none has ended yet. */
const minMs = 250;
const maxMs = 600_000;

export interface PacedAttempt {
  /** Called when the request is sent: the time before that says nothing about the receiver. */
  sent: (at: number) => void;
  /** @param at undefined if the attempt shows nothing about the receiver */
  end: (at: number | undefined) => void;
}

export class Pace {
  /** The attempts in flight, oldest first. */
  readonly #attempts = new Set<{ sentAt: number | undefined }>();
  #averageMs = 0;
  #nextAt = 0;

  get inFlight(): number {
    return this.#attempts.size;
  }

  /**
   * Returns the expected duration of a request in milliseconds: a moving average, or the age of the oldest
   * request in flight if that is longer.
   */
  expectedMs(now: number): number {
    for (const { sentAt } of this.#attempts) {
      if (sentAt !== undefined) return Math.max(this.#averageMs, now - sentAt);
    }
    return this.#averageMs;
  }

  /** Whether a request has ended, so that its duration is known. */
  get isKnown(): boolean {
    return this.#averageMs > 0;
  }

  /** Returns in how many milliseconds a slot is expected, after as many others got theirs as wait already. */
  expectedWaitMs(now: number, waiting: number): number {
    return (this.expectedMs(now) / Math.max(this.inFlight, 1)) * (waiting + 1);
  }

  /** Counts an attempt as in flight until it ends. */
  start(): PacedAttempt {
    const attempt: { sentAt: number | undefined } = { sentAt: undefined };
    this.#attempts.add(attempt);
    return {
      sent: (at) => (attempt.sentAt = at),
      end: (at) => {
        this.#attempts.delete(attempt);
        if (at === undefined || attempt.sentAt === undefined) return;
        this.#averageMs += (at - attempt.sentAt - this.#averageMs) / 4;
      },
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
