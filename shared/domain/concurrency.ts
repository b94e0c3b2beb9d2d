/** How many turns should run at once: the signal by which a pool of workers is scaled. */

/** How soon a backlog is to be gone. */
export const drainSeconds = 60;

/**
 * Turns that run, and for those that wait as many as it takes to have begun all of them within `drainSeconds`: one turn
 * after the other where they are short, each at once where they are long.
 *
 * @param meanSeconds how long a turn takes; undefined: nobody knows, and each waiting turn counts as a long one
 */
export function desiredConcurrency(load: {
  running: number;
  waiting: number;
  meanSeconds: number | undefined;
}): number {
  const share = Math.min(1, (load.meanSeconds ?? drainSeconds) / drainSeconds);
  return load.running + Math.ceil(load.waiting * share);
}

/** A mean that forgets: each value counts a tenth of all before it. */
export class MovingMean {
  #mean: number | undefined;

  get value(): number | undefined {
    return this.#mean;
  }

  add(value: number): void {
    this.#mean = this.#mean === undefined ? value : this.#mean + (value - this.#mean) / 10;
  }
}
