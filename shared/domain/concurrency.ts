/** How many turns should run at once: the signal that scales a pool of workers. */

/** Time within which all waiting turns should have started. */
export const drainSeconds = 60;

/**
 * Returns the number of running turns, plus the slots that start every waiting turn within `drainSeconds`.
 * Short turns share a slot, one after the other; a turn of `drainSeconds` or more needs its own slot.
 *
 * @param load.meanSeconds mean duration of a turn; if it is unknown, each waiting turn gets its own slot
 */
export function desiredConcurrency(load: {
  running: number;
  waiting: number;
  meanSeconds: number | undefined;
}): number {
  const share = Math.min(1, (load.meanSeconds ?? drainSeconds) / drainSeconds);
  return load.running + Math.ceil(load.waiting * share);
}

/** An exponential moving average: each new value has a weight of one tenth. */
export class MovingMean {
  #mean: number | undefined;

  /** Undefined until the first value is added. */
  get value(): number | undefined {
    return this.#mean;
  }

  add(value: number): void {
    this.#mean = this.#mean === undefined ? value : this.#mean + (value - this.#mean) / 10;
  }
}
