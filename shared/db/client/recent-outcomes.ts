/**
 * Decides from the outcomes of recent statements whether the database serves them, for readiness: a probe may get an
 * answer while statements that write, or that need a certain table, do not.
 */

const windowSeconds = 10;
const minFailures = 3;

export class RecentOutcomes {
  readonly #now: () => number;
  readonly #seconds = Array.from({ length: windowSeconds }, () => ({ second: -1, succeeded: 0, failed: 0 }));
  #failing = false;

  /** @param now in milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  succeeded(): void {
    this.#current().succeeded += 1;
  }

  failed(): void {
    this.#current().failed += 1;
  }

  /**
   * Returns how many statements have failed lately if these were at least three, and at least as many as succeeded.
   * From then on until few fail (a fifth) or none, so that a probe does not alternate. Undefined otherwise.
   */
  getFailures(): number | undefined {
    const first = this.#second() - windowSeconds;
    const recent = this.#seconds.filter(({ second }) => second > first);
    const failed = recent.reduce((sum, entry) => sum + entry.failed, 0);
    const succeeded = recent.reduce((sum, entry) => sum + entry.succeeded, 0);
    if (failed >= minFailures && failed >= succeeded) this.#failing = true;
    else if (failed * 4 <= succeeded || failed === 0) this.#failing = false;
    return this.#failing ? failed : undefined;
  }

  #second(): number {
    return Math.floor(this.#now() / 1000);
  }

  #current(): { succeeded: number; failed: number } {
    const second = this.#second();
    const entry = this.#seconds[second % windowSeconds] ?? { second: -1, succeeded: 0, failed: 0 };
    if (entry.second !== second) Object.assign(entry, { second, succeeded: 0, failed: 0 });
    return entry;
  }
}
