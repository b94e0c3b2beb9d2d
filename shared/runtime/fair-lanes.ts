/**
 * Runs a few calls at a time, for callers that may have many. A free lane goes to the caller with the fewest running calls,
 * and among those to the one that has waited longest. One caller gets half of the lanes, so that the others find one.
 */
import { TurnQueue } from './turn-queue.ts';

export class FairLanes {
  readonly #perCaller: number;
  #free: number;
  readonly #running = new Map<string, number>();
  readonly #waiting = new TurnQueue<string, () => void>();

  constructor(lanes: number) {
    this.#free = lanes;
    this.#perCaller = Math.max(1, Math.floor(lanes / 2));
  }

  /** @param name of the caller */
  async run<T>(name: string, call: () => Promise<T>): Promise<T> {
    if (this.#mayStart(name)) this.#take(name);
    else await this.#wait(name);
    try {
      return await call();
    } finally {
      this.#release(name);
    }
  }

  #mayStart(name: string): boolean {
    return this.#free > 0 && this.#count(name) < this.#perCaller;
  }

  #count(name: string): number {
    return this.#running.get(name) ?? 0;
  }

  #take(name: string): void {
    this.#free -= 1;
    this.#running.set(name, this.#count(name) + 1);
  }

  #wait(name: string): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(name, resolve));
  }

  #release(name: string): void {
    this.#free += 1;
    const left = this.#count(name) - 1;
    if (left === 0) this.#running.delete(name);
    else this.#running.set(name, left);
    const next = this.#findNext();
    if (next === undefined) return;
    this.#take(next);
    this.#waiting.shiftOf(next)?.();
  }

  #findNext(): string | undefined {
    let found: string | undefined;
    for (const name of this.#waiting.keys()) {
      if (this.#mayStart(name) && (found === undefined || this.#count(name) < this.#count(found)))
        found = name;
    }
    return found;
  }
}
