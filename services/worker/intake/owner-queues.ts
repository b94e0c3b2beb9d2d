/**
 * Runs the queued turns of owners in pull mode: one loop for each owner whose queue may have turns.
 *
 *   follow ─▶ wait for a free slot ─▶ take turns from the queue, as many as there is room for ─▶ run them
 *                     ▲                                  │ empty, or at the limit: the loop ends
 *                     └──────────────────────────────────┘
 *
 * Other workers also put turns into the queues, and may die. Each worker therefore looks for queues at an
 * interval, and follows those whose owner has room.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isPassing } from '#shared/db/client/errors.ts';
import type { Dequeued, QueuedTurn } from '#shared/db/queue/dequeue.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { FairSlots } from './fair-slots.ts';

/** Largest number of turns that one statement takes. */
const maxTaken = 100;

export interface OwnerQueuesParts {
  slots: FairSlots;
  /** Takes up to `count` turns of an owner. */
  dequeue(owner: string, count: number): Promise<Dequeued>;
  /** Runs a turn that holds a slot of its owner. Never rejects. */
  run(owner: string, turn: QueuedTurn): Promise<void>;
  /** Returns owners that may have queued turns. */
  findOwners(): Promise<string[]>;
  pollMs: number;
  log: Logger;
}

export interface OwnerQueues {
  /** Whether the owner's queue is being followed: further turns of the owner belong behind it. */
  has(owner: string): boolean;
  /** Runs the queued turns of an owner, as there is room. */
  follow(owner: string): void;
  /** Takes no more turns. Resolves when nothing is being taken; close the slots first. */
  close(): Promise<void>;
}

export function followQueues(parts: OwnerQueuesParts): OwnerQueues {
  const { slots, log } = parts;
  /** The value is true if the owner has more turns since its loop last looked. */
  const followed = new Map<string, boolean>();
  const loops = new Set<Promise<void>>();
  const stop = new AbortController();
  loops.add(poll());

  async function poll(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        for (const owner of await parts.findOwners()) if (slots.roomFor(owner) > 0) follow(owner);
      } catch (error) {
        log[isPassing(error) ? 'debug' : 'warn']({ error: errorMessage(error) }, 'looking for queues failed');
      }
      // Jitter keeps the workers from polling in step.
      const waitMs = parts.pollMs * (0.75 + 0.5 * Math.random());
      await delay(waitMs, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }

  function follow(owner: string): void {
    if (stop.signal.aborted) return;
    const running = followed.has(owner);
    followed.set(owner, true);
    if (running) return;
    const loop = drain(owner)
      .catch((error: unknown) =>
        log[isPassing(error) ? 'debug' : 'warn'](
          { error: errorMessage(error) },
          'taking queued turns failed',
        ),
      )
      .finally(() => loops.delete(loop));
    loops.add(loop);
  }

  async function drain(owner: string): Promise<void> {
    try {
      while (followed.get(owner) === true && (await slots.acquire(owner))) await takeTurns(owner);
    } finally {
      followed.delete(owner);
    }
  }

  /** Needs a slot of the owner, and takes more of them if there are any. */
  async function takeTurns(owner: string): Promise<void> {
    const held = 1 + slots.take(owner, maxTaken - 1);
    let started = 0;
    followed.set(owner, false);
    try {
      const { turns, mayHaveMore } = await parts.dequeue(owner, held);
      for (const turn of turns) void parts.run(owner, turn);
      started = turns.length;
      if (mayHaveMore) followed.set(owner, true);
    } finally {
      if (started < held) slots.release(owner, held - started);
    }
  }

  return {
    has: (owner) => followed.has(owner),
    follow,
    close: async () => {
      stop.abort();
      await Promise.all(loops);
    },
  };
}
