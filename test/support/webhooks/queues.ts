/** The claims and records of dispatchers, directly on the database. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import type { Db } from '#shared/db/client/pool.ts';
import { createDeliveryClaim } from '#shared/db/webhooks/attempts/claim.ts';
import type { ClaimedDelivery } from '#shared/db/webhooks/attempts/claim-rows.ts';
import { createAttemptRecorder } from '#shared/db/webhooks/attempts/record.ts';
import type { AttemptOutcome } from '#shared/db/webhooks/attempts/settle.ts';
import { waitFor } from '../wait-for.ts';
import { startTask, webhookTo } from './webhooks.ts';

export const queueOptions = { leaseSeconds: 30, wakeupGraceSeconds: 10, webhookRequestsPerMinute: 0 };

export function createQueues(db: Db) {
  /** The claims and records of one dispatcher. */
  function startDispatcher() {
    const claim = createDeliveryClaim(db, queueOptions);
    const record = createAttemptRecorder(db, queueOptions);
    return {
      claim: async (taskId: string, limit = 1) => claim({ taskId, configId: 'hook', limit }),
      record: (delivery: ClaimedDelivery, outcome: AttemptOutcome, mayContinue = false) =>
        record({
          delivery,
          outcome,
          mayContinue,
          startedAt: new Date(),
          durationMs: 1,
          status: null,
          error: null,
          responseStart: null,
          nextClaimId: randomUUID(),
        }),
    };
  }

  /** Starts a task with the events 1 to 4 and a config. */
  async function startQueue(ordered: boolean) {
    const task = await startTask(
      db,
      undefined,
      webhookTo('https://example.com/', { events: 'all', ordered }),
    );
    await task.claim();
    await task.progress(2);
    return task.taskId;
  }

  async function claimOne(dispatcher: ReturnType<typeof startDispatcher>, taskId: string) {
    const [delivery] = (await dispatcher.claim(taskId)).deliveries;
    assert.ok(delivery !== undefined, 'nothing was claimed');
    return delivery;
  }

  /** Resolves when `count` statements like this wait for a lock. */
  async function waitForLock(query: string, count = 1): Promise<void> {
    await waitFor(`${count} of ${query} to wait for a lock`, async () => {
      const { rows } = await sql`
        select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like ${query}`.execute(db);
      return rows.length === count;
    });
  }

  return { startDispatcher, startQueue, claimOne, waitForLock };
}
