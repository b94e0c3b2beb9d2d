/**
 * Starts a few calls in each iteration of the event loop. One read of the sockets may bring hundreds of calls; without a
 * bound, everything else in the process would wait for all of them. Keys, such as callers or connections, take turns.
 */

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
  /** Calls that wait. The first key is next. */
  readonly #waiting = new Map<Key, Start[]>();
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
    const calls = this.#waiting.get(key) ?? [];
    calls.push(call);
    this.#waiting.set(key, calls);
    if (this.#count < this.#maxWaiting) this.#count += 1;
    else this.#refuseOne(key, calls);
  }

  /** Refuses the last call of the key if it has more than its share, otherwise of the key with most. */
  #refuseOne(key: Key, calls: Start[]): void {
    let most = calls;
    if (calls.length <= this.#maxWaiting / this.#waiting.size) {
      for (const others of this.#waiting.values()) if (others.length > most.length) most = others;
    }
    most.pop()?.refuse?.();
    if (calls.length === 0) this.#waiting.delete(key);
  }

  #continueLater(): void {
    setImmediate(() => {
      this.#started = 0;
      if (this.#waiting.size > 0) this.#continueLater();
      while (this.#started < this.#perIteration && this.#waiting.size > 0) this.#startNext();
    });
  }

  #startNext(): void {
    const [next] = this.#waiting;
    if (next === undefined) return;
    const [key, calls] = next;
    const call = calls.shift();
    this.#waiting.delete(key);
    if (calls.length > 0) this.#waiting.set(key, calls);
    this.#started += 1;
    this.#count -= 1;
    call?.start();
  }
}
