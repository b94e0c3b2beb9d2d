/**
 * Bounds the memory that the large inputs and the files of all running turns take together in this process. A turn
 * reserves memory before it reads, waits while others have it, and returns all of it when it ends.
 *
 * A turn may wait while it holds memory itself, so the wait is short: the turn is then parked, which returns its
 * memory and spends no attempt, and any worker may run it later.
 */
import v8 from 'node:v8';
import type { InputMemory } from '#shared/db/turns/input/input-memory.ts';
import { ParkedError } from '#shared/domain/errors.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

/** The share of V8's heap limit (`--max-old-space-size`) that the budget has. */
const heapShare = 0.5;
const defaultWaitMs = 10_000;
/** A parked turn comes back after a time between this and its double. */
const parkMs = 3_000;

export interface MemoryReservation extends InputMemory {
  /** @throws {ParkedError} if the memory does not become free in time */
  take(bytes: number): Promise<void>;
  /** Returns everything. The reservation can be used again. */
  release(): void;
  /** Returns everything for good: what still waits, or asks later, is refused. */
  close(): void;
}

/** Uses memory that turns leave free. */
export interface Borrower {
  /** @param maxBytes what it may keep */
  shrink(maxBytes: number): void;
}

interface Waiting {
  fits: () => boolean;
  grant: () => void;
}

export class MemoryBudget {
  readonly maxBytes: number;
  readonly #waitMs: number;
  #used = 0;
  readonly #waiting = new Set<Waiting>();
  #borrower: Borrower | undefined;

  constructor(maxBytes = v8.getHeapStatistics().heap_size_limit * heapShare, waitMs = defaultWaitMs) {
    this.maxBytes = maxBytes;
    this.#waitMs = waitMs;
  }

  /** The bytes that turns leave free. */
  get free(): number {
    return Math.max(0, this.maxBytes - this.#used);
  }

  /** Lets a cache use the free memory. It shrinks when a turn takes memory, so that no turn waits for it. */
  lendTo(borrower: Borrower): void {
    this.#borrower = borrower;
  }

  /** @param signals end a wait early, by throwing their reason */
  open(...signals: AbortSignal[]): MemoryReservation {
    let held = 0;
    let closed = false;
    // Created by the first wait: few turns wait, and an abort is costly.
    let closing: AbortController | undefined;
    const release = (): void => {
      this.#used -= held;
      held = 0;
      this.#grantNext();
    };
    return {
      maxBytes: this.maxBytes,
      take: async (bytes) => {
        if (closed) throw closedError();
        // A turn that needs more than there is runs as the only one.
        const fits = (): boolean => this.#used === held || this.#used + bytes <= this.maxBytes;
        const grant = (): void => {
          held += bytes;
          this.#used += bytes;
          this.#borrower?.shrink(this.free);
        };
        if (this.#waiting.size === 0 && fits()) grant();
        else {
          closing ??= new AbortController();
          await this.#wait({ fits, grant }, [...signals, closing.signal]);
        }
      },
      release,
      close: () => {
        closed = true;
        closing?.abort(closedError());
        release();
      },
    };
  }

  /** Waiters are served in order of arrival, so that small requests do not starve a large one. */
  #grantNext(): void {
    for (const waiting of this.#waiting) {
      if (!waiting.fits()) return;
      waiting.grant();
    }
  }

  #wait({ fits, grant }: Waiting, signals: readonly AbortSignal[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        for (const signal of signals) signal.removeEventListener('abort', onAbort);
        this.#waiting.delete(waiting);
      };
      const waiting: Waiting = {
        fits,
        grant: () => {
          leave();
          grant();
          resolve();
        },
      };
      const fail = (reason: unknown): void => {
        leave();
        reject(reason);
        this.#grantNext();
      };
      const onAbort = (): void => fail(signals.find(({ aborted }) => aborted)?.reason);
      const timer = setTimeout(() => {
        const until = new Date(databaseNow() + parkMs * (1 + Math.random()));
        fail(new ParkedError('the worker has no memory free for the input or the files of the turn', until));
      }, this.#waitMs);
      for (const signal of signals) signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(waiting);
      if (signals.some(({ aborted }) => aborted)) onAbort();
    });
  }
}

function closedError(): Error {
  return new Error('the turn has ended');
}
