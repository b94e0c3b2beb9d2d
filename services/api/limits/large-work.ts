/**
 * Makes work that occupies the event loop for long wait for its turn: parsing, hashing and serialising large JSON. One
 * piece starts in each iteration of the event loop, so that the requests of others are answered in between. Callers
 * take turns, so that a caller with many large requests does not delay the only one of another.
 */

/** Smaller content takes a millisecond or two, and starts at once. In bytes. */
export const minLargeBytes = 64 * 1024;

export class LargeWork {
  /** Pieces that wait, by caller. The first caller is next. */
  readonly #waiting = new Map<string, (() => void)[]>();

  /**
   * Resolves when a piece may run, until its next `await`. Nothing is given back.
   *
   * @param name of the caller, or of its address
   */
  start(name: string): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.size === 0) setImmediate(() => this.#startNext());
      const pieces = this.#waiting.get(name);
      if (pieces === undefined) this.#waiting.set(name, [resolve]);
      else pieces.push(resolve);
    });
  }

  #startNext(): void {
    const [next] = this.#waiting;
    if (next === undefined) return;
    const [name, pieces] = next;
    const resolve = pieces.shift();
    this.#waiting.delete(name);
    if (pieces.length > 0) this.#waiting.set(name, pieces);
    if (this.#waiting.size > 0) setImmediate(() => this.#startNext());
    resolve?.();
  }
}
