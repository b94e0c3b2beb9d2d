/**
 * Starts a few calls in each iteration of the event loop. One read of the sockets may bring hundreds of calls; without a
 * bound, everything else in the process would wait for all of them. Keys, such as callers or connections, take turns.
 */
import { TurnQueue } from '#shared/runtime/turn-queue.ts';

export interface Start {
  start: () => void;
  /** Called instead of `start` if too many wait. */
  refuse?: () => void;
}

export interface FairStartsOptions {
  /** Calls that start in one iteration. */
  perIteration: number;
  /** Calls that wait for their start, of all keys. Default: no limit. */
  maxWaiting?: number;
}

export class FairStarts<Key> {
  readonly #perIteration: number;
  readonly #maxWaiting: number;
  readonly #waiting = new TurnQueue<Key, Start>();
  #count = 0;
  #started = 0;

  constructor({ perIteration, maxWaiting = Infinity }: FairStartsOptions) {
    this.#perIteration = perIteration;
    this.#maxWaiting = maxWaiting;
  }

  /** Starts a call at once, or in a later iteration. If too many wait, a key with more than its share loses its last call. */
  add(key: Key, call: Start): void {
    if (this.#started === 0) this.#continueLater();
    if (this.#started < this.#perIteration) {
      this.#started += 1;
      call.start();
      return;
    }
    this.#waiting.push(key, call);
    if (this.#count < this.#maxWaiting) this.#count += 1;
    else this.#refuseOne(key);
  }

  /** Refuses the last call of the key if it has more than its share, otherwise of the key with most. */
  #refuseOne(key: Key): void {
    const queue = this.#waiting;
    let most = key;
    if (queue.countOf(key) <= this.#maxWaiting / queue.keyCount) {
      for (const other of queue.keys()) if (queue.countOf(other) > queue.countOf(most)) most = other;
    }
    queue.popOf(most)?.refuse?.();
  }

  #continueLater(): void {
    setImmediate(() => {
      this.#started = 0;
      if (this.#count > 0) this.#continueLater();
      while (this.#started < this.#perIteration && this.#count > 0) {
        this.#started += 1;
        this.#count -= 1;
        this.#waiting.shift()?.start();
      }
    });
  }
}
