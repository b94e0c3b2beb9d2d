/**
 * Makes work that occupies the event loop for long wait for its turn: parsing, hashing, serialising, encrypting and sending
 * large JSON. Only one piece runs at a time, and after it the event loop is free of such work for twice as long as the piece
 * took, so that large requests get a third of it together. If small work waits for the loop nevertheless, because of other
 * requests or other processes, large requests get less, down to a twentieth. A small request crosses the loop several times, and
 * would otherwise wait for a piece each time. Callers take turns, so that a caller with many large requests does not delay the
 * only one of another.
 */

import { LoopWait } from './loop-wait.ts';
import { TurnQueue } from './turn-queue.ts';

/** Smaller content takes a millisecond or two, and starts at once. In bytes. */
export const minLargeBytes = 64 * 1024;

/** Several items in one piece take as much together, unless one alone is larger. */
const pieceBytes = 256 * 1024;

/** The rest after a piece, as a multiple of its duration. */
const minRestFactor = 2;
const maxRestFactor = 20;
/** The factor for each millisecond that small work waits for the event loop: alone in a process, it waits about 0.05 ms. */
const restFactorPerMs = 40;
/** A longer piece was interrupted by something else, such as a pause of the machine. */
const maxPieceMs = 100;

export class LargeWork {
  /** Pieces that wait, by caller. */
  readonly #waiting = new TurnQueue<string, () => void>();
  readonly #now: () => number;
  readonly #loopWait: LoopWait;
  #isBusy = false;
  #restsUntil = 0;

  /** @param now a monotonic clock in milliseconds */
  constructor(now: () => number = () => performance.now(), wait = new LoopWait(now)) {
    this.#now = now;
    this.#loopWait = wait;
  }

  /**
   * Resolves when a piece may run. It lasts until it waits for something other than a promise that is already resolved.
   * Nothing is given back.
   *
   * @param name of the caller, or of its address, or of a part of the process
   */
  start(name: string): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(name, resolve);
      this.#schedule();
    });
  }

  /** Counts work that could not wait, such as what holds a connection of a pool: the rest after it is as long as after a piece. */
  count(ms: number): void {
    this.#restAfter(this.#now(), ms);
  }

  #restAfter(endedAt: number, ms: number): void {
    const factor = Math.min(Math.max(minRestFactor, restFactorPerMs * this.#loopWait.read()), maxRestFactor);
    this.#restsUntil = Math.max(this.#restsUntil, endedAt + factor * Math.min(ms, maxPieceMs));
  }

  /**
   * Returns a function for content that consists of many items, each of which may be small. It resolves when the next item
   * may be processed, of which it gets the size: with the earlier ones of a piece, as long as they are small together.
   */
  pieces(name: string): (bytes: number) => Promise<void> {
    let bytes = 0;
    let maxBytes = minLargeBytes;
    return async (next) => {
      bytes += next;
      if (bytes < maxBytes) return;
      await this.start(name);
      bytes = next;
      maxBytes = pieceBytes;
    };
  }

  #schedule(): void {
    if (this.#isBusy || this.#waiting.keyCount === 0) return;
    this.#isBusy = true;
    const restMs = this.#restsUntil - this.#now();
    // Timers count whole milliseconds, and drop fractions.
    if (restMs > 1) setTimeout(() => this.#startNext(), Math.ceil(restMs));
    else setImmediate(() => this.#startNext());
  }

  #startNext(): void {
    const startedAt = this.#now();
    this.#loopWait.exclude();
    this.#waiting.shift()?.();
    // The piece, and all that follows it without waiting, has run before the next iteration. A busy iteration counts as
    // part of the piece: large work yields to others.
    setImmediate(() => {
      const endedAt = this.#now();
      this.#loopWait.include();
      this.#restAfter(endedAt, endedAt - startedAt);
      this.#isBusy = false;
      this.#schedule();
    });
  }
}

/** That of this process, which has one event loop. */
export const largeWork = new LargeWork();
