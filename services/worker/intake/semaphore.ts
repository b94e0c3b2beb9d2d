/** Room for a number of turns at once, given out in the order in which it was asked for. */
export class Semaphore {
  readonly #size: number;
  #taken = 0;
  readonly #waiting = new Set<() => void>();
  readonly #idle = new Set<() => void>();

  constructor(size: number) {
    this.#size = size;
  }

  get taken(): number {
    return this.#taken;
  }

  /** @returns false where none became free within `waitMs` */
  async take(waitMs: number): Promise<boolean> {
    if (this.#taken < this.#size) {
      this.#taken += 1;
      return true;
    }
    return new Promise((resolve) => {
      const granted = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(granted);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(granted);
        resolve(false);
      }, waitMs);
      this.#waiting.add(granted);
    });
  }

  give(): void {
    const [next] = this.#waiting;
    if (next !== undefined) {
      next();
      return;
    }
    this.#taken -= 1;
    if (this.#taken === 0) for (const done of this.#idle) done();
  }

  /** Resolves when none is taken. */
  async idle(): Promise<void> {
    if (this.#taken === 0) return;
    await new Promise<void>((resolve) => this.#idle.add(resolve));
  }
}
