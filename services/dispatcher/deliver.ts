/**
 * Handles a call of Cloud Tasks: processes the delivery queue of one config (invariant 6).
 *
 *   claim ──▶ attempt ──recorded──▶ attempt the next, which was claimed with the record ──▶ …
 *     │          └ nothing more is due, or the call has run long enough: wake-ups cover the rest
 *     │ due within 2 s: wait for it
 *     └ nothing to do: return
 *
 * An ordered config has one attempt at a time, an unordered one up to 16 in each call. Continuing saves a
 * wake-up, a call and a claim for each further event: Cloud Tasks makes at most 500 calls a second.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isPassing } from '#shared/db/client/errors.ts';
import { createDeliveryClaim, toConfigText, type ClaimedDelivery } from '#shared/db/webhooks/claim.ts';
import { createAttemptRecorder, type RecordAttempt } from '#shared/db/webhooks/record.ts';
import type { DeliverRequest } from '#shared/gcp/cloud-tasks.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { createAttempt, type AttemptParts } from './attempt.ts';

/** Tolerates clock differences. A wake-up that arrives earlier than this was for another delivery. */
const maxWaitMs = 2_000;
/** For longer waits, one call waits for each config: each waiting call occupies a place of Cloud Tasks. */
const briefWaitMs = 100;
const maxRunMs = 60_000;
const maxConcurrency = 16;

export interface DeliverParts extends Omit<AttemptParts, 'record'> {
  outbox: OutboxPublisher;
  /** Aborted when the process shuts down: no further delivery is claimed. */
  stopping: AbortSignal;
}

/** Resolves when every attempt of the call is recorded, or if there is nothing to do. */
export type Deliver = (request: DeliverRequest) => Promise<void>;

/** @throws if the database cannot be reached; the caller may try again */
export function createDeliver(parts: DeliverParts): Deliver {
  const { db, outbox, encryptor, agents, hourlyBytes, webhookGuard, webhook, signing, log } = parts;
  const { wakeupGraceSeconds, stopping } = parts;
  const leaseSeconds = webhook.timeoutMs / 1000 + webhook.leaseMarginSeconds;
  const claim = createDeliveryClaim(db, { leaseSeconds });
  const record = repeatRecord(
    createAttemptRecorder(db, { leaseSeconds, wakeupGraceSeconds }),
    webhook.leaseMarginSeconds * 1000,
  );
  const attempt = createAttempt({
    db,
    record,
    encryptor,
    agents,
    hourlyBytes,
    webhookGuard,
    webhook,
    signing,
    wakeupGraceSeconds,
    log,
  });

  const waiting = new Set<string>();

  /** Returns false at once if another call waits for the same config. */
  async function waitUntilDue(config: string, waitMs: number): Promise<boolean> {
    if (waitMs <= briefWaitMs) {
      await delay(waitMs);
      return true;
    }
    if (waiting.has(config)) return false;
    waiting.add(config);
    await delay(waitMs);
    waiting.delete(config);
    return true;
  }

  return async ({ taskId, configId, traceparent }) => {
    const startedAt = performance.now();
    const mayContinue = (): boolean => !stopping.aborted && performance.now() < startedAt + maxRunMs;

    async function attemptAll(first: ClaimedDelivery): Promise<void> {
      let next: ClaimedDelivery | undefined = first;
      while (next !== undefined) {
        const recorded = await attempt(next, mayContinue, traceparent);
        outbox.publish(recorded?.wakeups ?? []);
        next = recorded?.next;
      }
    }

    for (;;) {
      const { deliveries, waitMs } = await claim({ taskId, configId, limit: maxConcurrency });
      if (deliveries.length > 0) {
        await Promise.all(deliveries.map(attemptAll));
        return;
      }
      if (waitMs === undefined || performance.now() + waitMs > startedAt + maxWaitMs) return;
      if (!(await waitUntilDue(toConfigText({ taskId, configId }), waitMs))) return;
    }
  };
}

const repeatMs = 200;

/** Repeats a record while the database is unavailable, for `maxMs`. The fence lets a record count once. */
function repeatRecord(record: RecordAttempt, maxMs: number): RecordAttempt {
  return async (attempt) => {
    const startedAt = performance.now();
    for (;;) {
      try {
        return await record(attempt);
      } catch (error) {
        if (!isPassing(error) || performance.now() - startedAt > maxMs) throw error;
      }
      await delay(repeatMs);
    }
  };
}
