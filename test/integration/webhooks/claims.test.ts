/**
 * Claims and records of deliveries, directly on the database: leases, fences and locks
 * (shared/db/webhooks/attempts/claim.ts).
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { sql, type Transaction } from 'kysely';
import type { Database } from '#shared/db/schema/schema.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import type { ClaimedDelivery } from '#shared/db/webhooks/attempts/claim-rows.ts';
import { getWebhookConfig } from '#shared/db/webhooks/configs.ts';
import { redeliver } from '#shared/db/webhooks/deliveries.ts';
import { followAttempts } from '#shared/db/webhooks/attempts/follow.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { createQueues, queueOptions as options } from '../../support/webhooks/queues.ts';
import { caller, startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const { db } = await connectToTestDatabase();
const { startDispatcher, startQueue, claimOne, waitForLock } = createQueues(db);

const getEvents = ({ deliveries }: { deliveries: ClaimedDelivery[] }) => deliveries.map(({ seq }) => seq);

/** Claims by two dispatchers that wait for a transaction which holds the config's lock and makes a change. */
async function claimTwiceBehind(taskId: string, change: (trx: Transaction<Database>) => Promise<void>) {
  const { claims } = await db.transaction().execute(async (trx) => {
    await sql`select from webhook_configs where task_id = ${taskId} for update`.execute(trx);
    const claims = Promise.all([startDispatcher().claim(taskId, 16), startDispatcher().claim(taskId, 16)]);
    await waitForLock('%xmin as version%', 2);
    await change(trx);
    return { claims };
  });
  return claims;
}

describe('claims', () => {
  test('grants the head of an ordered config to only one of two dispatchers', { timeout }, async () => {
    const taskId = await startQueue(true);
    const claims = await claimTwiceBehind(taskId, async () => undefined);
    assert.deepEqual(claims.flatMap(getEvents), [1]);
  });

  test(
    'grants each delivery of an unordered config to only one of two dispatchers',
    { timeout },
    async () => {
      const taskId = await startQueue(false);
      const claims = await claimTwiceBehind(taskId, async () => undefined);
      assert.deepEqual(claims.flatMap(getEvents), [1, 2, 3, 4]);
    },
  );

  test('claims nothing of an ordered config while an attempt is in flight', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const taskId = await startQueue(true);
    await claimOne(dispatcher, taskId);
    assert.deepEqual(await dispatcher.claim(taskId), { deliveries: [], waitMs: undefined });
  });

  test('claims no redelivered event while a later one is in flight', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const taskId = await startQueue(true);
    const { next } = (await dispatcher.record(
      await claimOne(dispatcher, taskId),
      { kind: 'delivered' },
      true,
    ))!;
    assert.equal(next?.seq, 2);
    const result = await redeliver(db, options, caller, { taskId, configId: 'hook' }, { event: 1 });
    assert.equal(result.kind === 'scheduled' && result.count, 1);
    assert.deepEqual(getEvents(await dispatcher.claim(taskId)), []);
    const recorded = await dispatcher.record(next, { kind: 'delivered' }, true);
    assert.equal(recorded?.next?.seq, 1);
  });

  test('continues with an event that was written while the record waited', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const blocking = await startQueue(true);
    const task = await startTask(db, undefined, webhookTo('https://example.com/', { events: 'all' }));
    const heads = [await claimOne(dispatcher, blocking), await claimOne(dispatcher, task.taskId)];
    const { records } = await db.transaction().execute(async (trx) => {
      await sql`select from webhook_configs where task_id = ${blocking} for update`.execute(trx);
      const records = Promise.all(heads.map((head) => dispatcher.record(head, { kind: 'delivered' }, true)));
      await waitForLock('%response_start%');
      await task.claim();
      assert.deepEqual(getEvents(await dispatcher.claim(task.taskId)), [], 'the wake-up finds a busy config');
      return { records };
    });
    const [, recorded] = await records;
    assert.equal(recorded?.next?.seq, 2);
  });

  test('continues with an event whose writer has found an earlier one pending', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const task = await startTask(db, undefined, webhookTo('https://example.com/', { events: 'all' }));
    const first = await claimOne(dispatcher, task.taskId);
    const { record } = await db.transaction().execute(async (trx) => {
      const claimTurn = createClaim(trx, { ...options, worker: 'w', maxAttempts: 5 });
      const claimed = await claimTurn(task.taskId);
      assert.deepEqual(claimed.kind === 'claimed' && claimed.wakeups, []);
      const record = dispatcher.record(first, { kind: 'delivered' }, true);
      await waitForLock('%settled_seq%');
      return { record };
    });
    assert.equal((await record)?.next?.seq, 2);
  });

  test('claims a redelivered event that the record did not see while it waited', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const taskId = await startQueue(true);
    const first = await claimOne(dispatcher, taskId);
    const second = (await dispatcher.record(first, { kind: 'delivered' }, true))?.next;
    assert.ok(second !== undefined);
    const { record } = await db.transaction().execute(async (trx) => {
      await sql`update webhook_configs set failures = failures where task_id = ${taskId}`.execute(trx);
      const record = dispatcher.record(second, { kind: 'delivered' }, true);
      await waitForLock('%settled_seq%');
      await sql`
        update deliveries set state = 'pending', due_at = now() where task_id = ${taskId} and seq = 1`.execute(
        trx,
      );
      return { record };
    });
    assert.equal((await record)?.next?.seq, 1);
  });

  test('claims nothing and reports when the head of an ordered config is due', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const taskId = await startQueue(true);
    const recorded = await dispatcher.record(await claimOne(dispatcher, taskId), {
      kind: 'retry',
      delaySeconds: 50,
    });
    assert.equal(recorded?.next, undefined);
    assert.equal(recorded?.wakeups.length, 1);
    const { deliveries, waitMs = 0 } = await dispatcher.claim(taskId);
    assert.deepEqual(deliveries, []);
    assert.ok(waitMs > 40_000 && waitMs <= 50_000, `${waitMs}`);
    const stored = await getWebhookConfig(db, caller, taskId, 'hook');
    assert.deepEqual(stored?.nextAttemptAt, recorded?.wakeups[0]?.dueAt);
  });

  test(
    'claims other deliveries of an unordered config while one waits for its retry',
    { timeout },
    async () => {
      const dispatcher = startDispatcher();
      const taskId = await startQueue(false);
      const first = await claimOne(dispatcher, taskId);
      const recorded = await dispatcher.record(first, { kind: 'retry', delaySeconds: 50 }, true);
      assert.equal(recorded?.next?.seq, 2);
      assert.deepEqual(getEvents(await dispatcher.claim(taskId, 16)), [3, 4]);
      const { deliveries, waitMs = 0 } = await dispatcher.claim(taskId, 16);
      assert.deepEqual(deliveries, []);
      assert.ok(waitMs > 40_000 && waitMs <= 50_000, `${waitMs}`);
    },
  );

  test('repeats the claim after waiting for a record', { timeout }, async () => {
    const taskId = await startQueue(true);
    await claimOne(startDispatcher(), taskId);
    // The snapshots of these claims still show the first attempt in flight.
    const claims = await claimTwiceBehind(taskId, async (trx) => {
      await sql`update webhook_configs set failures = 0 where task_id = ${taskId}`.execute(trx);
      await sql`
        update deliveries set state = 'delivered', lease_until = null
        where task_id = ${taskId} and seq = 1`.execute(trx);
    });
    assert.deepEqual(claims.flatMap(getEvents), [2]);
  });
});

describe('followAttempts', () => {
  const changes: [string, (taskId: string, trx: Transaction<Database>) => Promise<unknown>, boolean][] = [
    ['reports the end of a queue after the last event of its task', async () => undefined, true],
    [
      'reports no end of a queue in which a test waits',
      async (taskId) =>
        db
          .insertInto('deliveries')
          .values({ task_id: taskId, config_id: 'hook', seq: -1, wakeup_at: new Date(), merged_from: null })
          .execute(),
      false,
    ],
    [
      'reports no end of a queue whose config has changed while it waited',
      async (taskId, trx) =>
        trx.updateTable('webhook_configs').set({ failures: 0 }).where('task_id', '=', taskId).execute(),
      false,
    ],
  ];
  for (const [title, change, ended] of changes) {
    test(title, { timeout }, async () => {
      const { taskId } = await startTask(db, undefined, webhookTo('https://example.com/'));
      const delivery = await claimOne(startDispatcher(), taskId);
      const answer = { startedAt: new Date(), durationMs: 1, status: 204, error: null, responseStart: null };
      const outcome = { kind: 'delivered' } as const;
      const attempt = { ...answer, delivery, outcome, mayContinue: true, nextClaimId: randomUUID() };
      const { following } = await db.transaction().execute(async (trx) => {
        await sql`select from webhook_configs where task_id = ${taskId} for update`.execute(trx);
        if (title.includes('test')) await change(taskId, trx);
        const following = followAttempts(db, 30, [{ ...attempt, isLast: true }]);
        await waitForLock('%settled_seq%');
        if (!title.includes('test')) await change(taskId, trx);
        return { following };
      });
      const [followed] = await following;
      assert.deepEqual([followed?.next, followed?.ended], [undefined, ended]);
    });
  }
});
