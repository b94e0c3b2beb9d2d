/** Random numbers from a seed, so that a run can be repeated. Each part of a run has a stream of its own. */
export class SeededRandom {
  #state: number;

  constructor(seed: number, stream: string) {
    this.#state = seed;
    for (let at = 0; at < stream.length; at++) {
      this.#state = Math.imul(this.#state ^ stream.charCodeAt(at), 16777619);
    }
  }

  /** Returns a number in [0, 1), by mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  between(min: number, max: number): number {
    return min + (max - min) * this.next();
  }

  /** Returns an integer from `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return Math.floor(this.between(min, max + 1));
  }

  /** Picks one of the values by their weights. */
  pick<T>(weighted: readonly (readonly [number, T])[]): T {
    const total = weighted.reduce((sum, [weight]) => sum + weight, 0);
    let at = this.next() * total;
    for (const [weight, value] of weighted) {
      at -= weight;
      if (at < 0) return value;
    }
    return weighted.at(-1)![1];
  }
}
