/**
 * Starts first attempts as soon as their events are committed: takes wake-ups from the outbox while this process has room,
 * without a detour through Cloud Tasks.
 *
 *   hint of a commit, or room again ──▶ take and claim a set ──▶ attempts …
 *            ▲                               │ as many as asked for: take again
 *            └───────────────────────────────┘
 *
 * Under load, sets follow each other with a pause: fewer and larger sets cost less. A commit on its own is not delayed.
 *
 * Wake-ups that no dispatcher takes within a second are handed to Cloud Tasks by their writer
 * (shared/outbox/delivery-wakeups.ts). Owners that use their share of this process are left out, so that they do not delay
 * the others.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isPassing } from '#shared/db/client/errors.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { ClaimedDelivery } from '#shared/db/webhooks/attempts/claim-rows.ts';
import { getSpacingMs } from '#shared/db/webhooks/attempts/record.ts';
import { takeDeliveries } from '#shared/db/webhooks/attempts/take.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { AttemptScheduler } from './schedule/scheduler.ts';

/** Wake-ups that one statement takes. */
const maxTaken = 128;

export interface Takes {
  /** Takes what is due, if this process has room. */
  wake(): void;
  /** Resolves when the attempts have ended, after `stopping`. */
  close(): Promise<void>;
}

export function createTakes(parts: {
  db: Db;
  leaseSeconds: number;
  /** Deliveries of one config that are attempted at the same time. */
  maxConcurrency: number;
  scheduler: AttemptScheduler;
  /** Makes attempts at a delivery and those that follow it. */
  attemptAll: (first: ClaimedDelivery) => Promise<void>;
  /** Aborted when the process shuts down: nothing more is taken. */
  stopping: AbortSignal;
  log: Logger;
}): Takes {
  const { db, leaseSeconds, maxConcurrency, scheduler, attemptAll, stopping, log } = parts;
  const attempts = new Set<Promise<void>>();
  let wanted = false;
  /** Whose wake-ups the last take has left in the outbox, for want of room. */
  let left: 'all' | readonly string[] = [];
  let taking: Promise<void> | undefined;

  function wake(): void {
    wanted = true;
    taking ??= takeAll().finally(() => {
      taking = undefined;
      // It was asked to take more after it had ended.
      if (wanted && !stopping.aborted) wake();
    });
  }

  async function takeAll(): Promise<void> {
    while (wanted && !stopping.aborted) {
      wanted = false;
      const { attempts: room, busyOwners } = scheduler.getRoom();
      left = room === 0 ? 'all' : busyOwners;
      if (room === 0) return;
      try {
        const startedAt = performance.now();
        const wakeups = Math.min(room, maxTaken);
        const request = { wakeups, limit: maxConcurrency, exceptOwners: busyOwners };
        const { taken, queues } = await takeDeliveries(db, leaseSeconds, request);
        for (const { deliveries } of queues.values()) for (const delivery of deliveries) start(delivery);
        if (taken === wakeups) wanted = true;
        else if (taken > 1) await pause(startedAt + getSpacingMs(taken) - performance.now());
      } catch (error) {
        log.debug({ error: errorMessage(error) }, 'no wake-ups of deliveries taken');
      }
    }
  }

  async function pause(ms: number): Promise<void> {
    if (ms > 0) await delay(ms, undefined, { signal: stopping }).catch(() => undefined);
  }

  function start(delivery: ClaimedDelivery): void {
    const { taskId, configId } = delivery;
    const attempt = attemptAll(delivery)
      // The lease expires, and the reconciler finds the delivery.
      .catch((error: unknown) =>
        log[isPassing(error) ? 'debug' : 'warn'](
          { taskId, configId, error: errorMessage(error) },
          'webhook attempt not recorded',
        ),
      )
      .finally(() => attempts.delete(attempt));
    attempts.add(attempt);
  }

  scheduler.onRoom(() => {
    if (left === 'all' ? scheduler.hasRoom() : left.some((owner) => scheduler.hasRoom(owner))) wake();
  });

  return {
    wake,
    close: async () => {
      await taking;
      await Promise.all(attempts);
    },
  };
}
