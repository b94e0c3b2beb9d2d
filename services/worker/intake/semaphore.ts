/** Bounds how many turns run at the same time. Waiters are served in order of arrival. */
export class Semaphore {
  readonly #size: number;
  #inUse = 0;
  readonly #waiting = new Set<() => void>();
  readonly #idle = new Set<() => void>();

  constructor(size: number) {
    this.#size = size;
  }

  get inUse(): number {
    return this.#inUse;
  }

  /** Takes a permit, waiting up to `waitMs` for one. Returns false if none became free. */
  async acquire(waitMs: number): Promise<boolean> {
    if (this.#inUse < this.#size) {
      this.#inUse += 1;
      return true;
    }
    return new Promise((resolve) => {
      const grant = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(grant);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(grant);
        resolve(false);
      }, waitMs);
      this.#waiting.add(grant);
    });
  }

  /** Passes the permit to the first waiter, or frees it. */
  release(): void {
    const [next] = this.#waiting;
    if (next !== undefined) {
      next();
      return;
    }
    this.#inUse -= 1;
    if (this.#inUse === 0) for (const done of this.#idle) done();
  }

  /** Resolves when no permit is in use. */
  async idle(): Promise<void> {
    if (this.#inUse === 0) return;
    await new Promise<void>((resolve) => this.#idle.add(resolve));
  }
}
