/**
 * A call of Cloud Tasks: the queue of one config is to be gone on with (invariant 6).
 *
 *   claim ──▶ attempt ──taken by the receiver──▶ attempt at the next, claimed with the record ──▶ …
 *     │          └ failed, put off, or long enough: the next has a wakeup
 *     │ due within a moment: wait for it
 *     └ nothing to do: done
 *
 * Going on spares a wakeup, a call and a claim for each further event, and Cloud Tasks makes 500 calls a second at most.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { ClaimedDelivery } from '#shared/db/webhooks/claimed-delivery.ts';
import { claimDeliveries } from '#shared/db/webhooks/claim.ts';
import { createAttemptRecorder } from '#shared/db/webhooks/record.ts';
import { claimFastDeliveries, recordFastAttempts } from '#shared/db/webhooks/fast-deliveries.ts';
import type { DeliverRequest } from '#shared/gcp/cloud-tasks.ts';
import { createAttempt, type AttemptParts } from './attempt.ts';

/** How long a wakeup that came too early is held. Clocks differ; more than that is the wakeup of something else. */
const longestWaitMs = 2_000;

/** How long one call goes on with a queue, and how many it attempts at once where its config asks for speed. */
const longestRunMs = 60_000;
const fastAtOnce = 16;

export interface DeliverParts extends AttemptParts {
  outbox: OutboxPublisher;
  wakeupGraceSeconds: number;
  /** Aborted where the process is to end: no further delivery is claimed. */
  stopping: AbortSignal;
}

/** Resolves when what was attempted is recorded, or there was nothing to do. */
export type Deliver = (request: DeliverRequest) => Promise<void>;

/** @throws when the database cannot be reached: the caller may try again */
export function createDeliver(parts: DeliverParts): Deliver {
  const { db, outbox, webhook, wakeupGraceSeconds, stopping } = parts;
  const leaseSeconds = webhook.timeoutMs / 1000 + webhook.leaseMarginSeconds;
  const claim = claimDeliveries(db, { leaseSeconds });
  const record = createAttemptRecorder(db, { leaseSeconds, wakeupGraceSeconds });
  const claimFast = claimFastDeliveries(db, { leaseSeconds });
  const recordFast = recordFastAttempts(db, { wakeupGraceSeconds });
  const attempt = createAttempt(parts);

  /** One after the other. */
  async function attemptInOrder(
    first: ClaimedDelivery,
    goesOn: () => boolean,
    traceparent: string | undefined,
  ): Promise<void> {
    let next: ClaimedDelivery | undefined = first;
    while (next !== undefined) {
      const recorded = await attempt(next, record, goesOn, traceparent);
      outbox.publish(recorded?.wakeups ?? []);
      next = recorded?.next;
    }
  }

  /** As many at once as may be; each that ends makes room for the next. */
  async function attemptMany(key: DeliverRequest, goesOn: () => boolean): Promise<void> {
    const first = await claimFast({ ...key, limit: fastAtOnce });
    await Promise.all(
      first.map(async (delivery) => {
        let next: ClaimedDelivery | undefined = delivery;
        while (next !== undefined) {
          const recorded = await attempt(next, recordFast, goesOn, key.traceparent);
          outbox.publish(recorded?.wakeups ?? []);
          // What is left then is rung for by the reconciler.
          [next] = goesOn() ? await claimFast({ ...key, limit: 1 }) : [];
        }
      }),
    );
  }

  return async (key) => {
    const began = performance.now();
    const goesOn = (): boolean => !stopping.aborted && performance.now() < began + longestRunMs;
    for (;;) {
      const claimed = await claim(key);
      if (claimed.kind === 'claimed') return attemptInOrder(claimed.delivery, goesOn, key.traceparent);
      if (claimed.kind === 'fast') return attemptMany(key, goesOn);
      if (claimed.kind === 'idle' || performance.now() + claimed.waitMs > began + longestWaitMs) return;
      await delay(claimed.waitMs);
    }
  };
}
