/**
 * Processes delivery queues of configs (invariant 6): those that a call of Cloud Tasks names, and those that this process
 * takes from the outbox (take.ts).
 *
 *   claim ──▶ attempt ──recorded──▶ attempt the next, which was claimed with the record ──▶ …
 *     │          └ nothing more is due, or the call has run long enough: wake-ups cover the rest
 *     │ due within 2 s: wait for it
 *     └ nothing to do: return
 *
 * An ordered config has one attempt at a time, an unordered one up to 16 in each call. Continuing saves a
 * wake-up, a call and a claim for each further event.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { repeatUntil } from '#shared/db/client/repeat.ts';
import { createDeliveryClaim, toConfigText } from '#shared/db/webhooks/attempts/claim.ts';
import type { ClaimedDelivery, ConfigKey } from '#shared/db/webhooks/attempts/claim-rows.ts';
import { createAttemptRecorder, type RecordAttempt } from '#shared/db/webhooks/attempts/record.ts';
import type { DeliverRequest } from '#shared/gcp/cloud-tasks.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { createAttempt, type AttemptParts } from './attempt.ts';
import { AttemptScheduler } from './schedule/scheduler.ts';
import { createTakes } from './take.ts';

/** Tolerates clock differences. A wake-up that arrives earlier than this was for another delivery. */
const maxWaitMs = 2_000;
/** For longer waits, one call waits for each config: each waiting call occupies a place of Cloud Tasks. */
const briefWaitMs = 100;
const maxRunMs = 60_000;
const maxConcurrency = 16;

export interface DeliverParts extends Omit<AttemptParts, 'record' | 'scheduler'> {
  outbox: OutboxPublisher;
  /** Aborted when the process shuts down: no further delivery is claimed. */
  stopping: AbortSignal;
}

export interface Deliveries {
  /**
   * Resolves when every attempt of the call is recorded, or if there is nothing to do.
   *
   * @throws if the database cannot be reached; the caller may try again
   */
  deliver(request: DeliverRequest): Promise<void>;
  /** Takes what is due from the outbox, if there is room. Called after a hint. */
  take(): void;
  /** Resolves when the attempts at what was taken have ended, after `stopping`. */
  close(): Promise<void>;
}

export function createDeliveries(parts: DeliverParts): Deliveries {
  const { db, outbox, encryptor, agents, hourlyBytes, webhookGuard, webhook, signing, log } = parts;
  const { wakeupGraceSeconds, stopping } = parts;
  const leaseSeconds = webhook.timeoutMs / 1000 + webhook.leaseMarginSeconds;
  const claim = createDeliveryClaim(db, { leaseSeconds });
  const record = repeatRecord(
    createAttemptRecorder(db, { leaseSeconds, wakeupGraceSeconds }),
    webhook.leaseMarginSeconds * 1000,
  );
  const scheduler = new AttemptScheduler({ ...webhook, stopping });
  const attempt = createAttempt({
    db,
    record,
    scheduler,
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

  function createRun(traceparent?: string) {
    const startedAt = performance.now();
    const attemptAll = async (first: ClaimedDelivery): Promise<void> => {
      const { owner } = first.config;
      const slot = scheduler.enter(owner) ?? (await scheduler.waitToEnter(owner));
      const mayContinue = (): boolean =>
        slot?.mayKeep() === true && !stopping.aborted && performance.now() < startedAt + maxRunMs;
      let next: ClaimedDelivery | undefined = first;
      try {
        while (next !== undefined) {
          const recorded = await attempt(next, { slot, mayContinue, traceparent });
          const wakeups = recorded?.wakeups ?? [];
          outbox.publish(wakeups);
          if (wakeups.some(({ dueAt }) => dueAt.getTime() <= databaseNow())) takes.wake();
          next = recorded?.next;
        }
      } finally {
        slot?.release();
      }
    };
    return { startedAt, attemptAll };
  }

  async function deliverConfig(key: ConfigKey, traceparent: string | undefined): Promise<void> {
    const { startedAt, attemptAll } = createRun(traceparent);
    for (;;) {
      const { deliveries, waitMs } = await claim({ ...key, limit: maxConcurrency });
      if (deliveries.length > 0) {
        await Promise.all(deliveries.map(attemptAll));
        return;
      }
      if (waitMs === undefined || performance.now() + waitMs > startedAt + maxWaitMs) return;
      if (!(await waitUntilDue(toConfigText(key), waitMs))) return;
    }
  }

  const takes = createTakes({
    db,
    leaseSeconds,
    maxConcurrency,
    scheduler,
    attemptAll: (first) => createRun().attemptAll(first),
    stopping,
    log,
  });

  return {
    deliver: async ({ configs, traceparent }) => {
      await Promise.all(configs.map((key) => deliverConfig(key, traceparent)));
    },
    take: () => takes.wake(),
    close: () => takes.close(),
  };
}

/** Repeats a record while the database is unavailable, for `maxMs`. The fence lets a record count once. */
function repeatRecord(record: RecordAttempt, maxMs: number): RecordAttempt {
  return (attempt) => repeatUntil(performance.now() + maxMs, () => record(attempt));
}
