/** Records of attempts at deliveries, directly on the database: what counts, and what follows (shared/db/webhooks/attempts/record.ts). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sql } from 'kysely';
import { Client } from 'pg';
import { deleteWebhookConfig, putWebhookConfig } from '#shared/db/webhooks/configs.ts';
import { redeliver } from '#shared/db/webhooks/deliveries.ts';
import { listOwnWebhooks } from '#shared/db/webhooks/health.ts';
import type { AttemptOutcome } from '#shared/db/webhooks/attempts/settle.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { readAttempts, readConfig, readDeliveries, readStates } from '../../support/webhooks/deliveries.ts';
import { createQueues, queueOptions as options } from '../../support/webhooks/queues.ts';
import { caller, startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const { db } = await connectToTestDatabase();
const { startDispatcher, startQueue, claimOne, waitForLock } = createQueues(db);

const endLease = (taskId: string) =>
  db
    .updateTable('deliveries')
    .set({ lease_until: new Date(0) })
    .where('task_id', '=', taskId)
    .where('lease_until', 'is not', null)
    .execute();

describe('records', () => {
  test('count once if the answer was lost, and continue with the next delivery', { timeout }, async () => {
    for (const outcome of [
      { kind: 'delivered' },
      { kind: 'retry', delaySeconds: 50 },
    ] as const satisfies AttemptOutcome[]) {
      const dispatcher = startDispatcher();
      const taskId = await startQueue(false);
      const delivery = await claimOne(dispatcher, taskId);
      assert.deepEqual((await dispatcher.record(delivery, outcome))?.next, undefined);
      const repeated = await dispatcher.record(delivery, outcome, true);
      assert.equal(repeated?.next?.seq, 2);
      const { failures, attempts } = (await readDeliveries(db, taskId))[0]!;
      assert.deepEqual([failures, attempts], [outcome.kind === 'retry' ? 1 : 0, 1]);
      assert.equal((await readAttempts(db, taskId)).length, 1);
      assert.equal((await readConfig(db, taskId)).failures, failures);
    }
  });

  test('keep the attempts of an event that is delivered again', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const taskId = await startQueue(true);
    for (const outcome of [
      { kind: 'delivered' },
      { kind: 'retry', delaySeconds: 0 },
      { kind: 'delivered' },
    ] as const) {
      await dispatcher.record(await claimOne(dispatcher, taskId), outcome);
      if (outcome.kind === 'delivered')
        await redeliver(db, options, caller, { taskId, configId: 'hook' }, { event: 1 });
    }
    const attempts = await readAttempts(db, taskId);
    assert.deepEqual(
      attempts.map(({ seq, attempt }) => [seq, attempt]),
      [
        [1, 1],
        [1, 2],
        [1, 3],
      ],
    );
    assert.equal(new Set(attempts.map(({ started_at }) => started_at.getTime())).size, 3);
  });

  test('keep the attempt of a config that is deleted and created again', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const webhook = webhookTo('https://example.com/', { events: 'all', ordered: true });
    const task = await startTask(db, undefined, webhook);
    await task.claim();
    await task.end('TASK_STATE_COMPLETED');
    const { taskId } = task;
    const deliver = async () => {
      const delivery = await claimOne(dispatcher, taskId);
      await dispatcher.record(delivery, { kind: 'delivered' });
      return delivery.seq;
    };
    while ((await readStates(db, taskId)).some(([, state]) => state === 'pending')) await deliver();
    const before = await readAttempts(db, taskId);
    await deleteWebhookConfig(db, caller, taskId, 'hook');
    await putWebhookConfig(db, options, caller, taskId, webhook);
    assert.deepEqual(await readAttempts(db, taskId), before);
    const last = await deliver();
    const after = await readAttempts(db, taskId);
    assert.deepEqual(after.slice(0, -1), before);
    const { seq, attempt } = after.at(-1)!;
    assert.deepEqual([seq, attempt], [last, 2]);
  });

  test(
    'show the attempt at the newest event as the last one, before a backlog as well',
    { timeout },
    async () => {
      const taskId = await startQueue(true);
      const insert = (from: number, to: number, delivered: boolean) =>
        sql`
        insert into deliveries (task_id, config_id, seq, wakeup_at, state, attempts, started_at, duration_ms, status)
        select ${taskId}, 'hook', seq, now(), ${delivered ? 'delivered' : 'pending'}, 1,
          case when ${delivered} then now() end, 1, 200
        from generate_series(${from}::int, ${to}::int) seq`.execute(db);
      await insert(101, 1300, true);
      await insert(1301, 2200, false);
      const filter = { health: ['ok', 'disabled'], taskId } as const;
      const { webhooks } = await listOwnWebhooks(db, caller, filter, { size: 1 });
      assert.equal(webhooks[0]?.lastAttempt?.event, 1300);
    },
  );

  test('fail nothing of a config that was enabled again meanwhile', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const taskId = await startQueue(false);
    const delivery = await claimOne(dispatcher, taskId);
    await dispatcher.record(delivery, { kind: 'abandoned', reason: 'gone' });
    await redeliver(db, options, caller, { taskId, configId: 'hook' }, { failedSince: new Date(0) });
    await dispatcher.record(delivery, { kind: 'abandoned', reason: 'gone' });
    assert.ok((await readStates(db, taskId)).every(([, state]) => state === 'pending'));
  });

  test('does not count an attempt whose delivery another dispatcher claimed', { timeout }, async () => {
    for (const ordered of [true, false]) {
      const [paused, other] = [startDispatcher(), startDispatcher()];
      const taskId = await startQueue(ordered);
      const stale = await claimOne(paused, taskId);
      await endLease(taskId);
      const current = await claimOne(other, taskId);
      assert.deepEqual([current.seq, current.attempt], [1, 2]);
      assert.equal(await paused.record(stale, { kind: 'abandoned', reason: 'stale' }), undefined);
      assert.equal((await readConfig(db, taskId)).disabled_at, null);
      assert.notEqual(await other.record(current, { kind: 'delivered' }), undefined);
      const attempts = await readAttempts(db, taskId);
      assert.deepEqual(
        attempts.map(({ seq, attempt }) => [seq, attempt]),
        [[1, 2]],
      );
    }
  });

  test('does not count an attempt whose config was replaced, in either order', { timeout }, async () => {
    for (const [before, after] of [
      [true, false],
      [false, true],
    ] as const) {
      const dispatcher = startDispatcher();
      const taskId = await startQueue(before);
      const stale = (await dispatcher.claim(taskId, 16)).deliveries;
      assert.equal(stale.length, before ? 1 : 4);
      const replacement = webhookTo('https://example.org/', { events: 'all', ordered: after });
      const put = await putWebhookConfig(db, options, caller, taskId, replacement);
      assert.equal(put.kind === 'stored' && put.wakeups.length, 1);
      const current = (await dispatcher.claim(taskId, 16)).deliveries;
      assert.deepEqual(
        current.map(({ seq }) => seq),
        after ? [1] : [1, 2, 3, 4],
      );
      for (const delivery of stale) {
        assert.equal(await dispatcher.record(delivery, { kind: 'delivered' }), undefined);
      }
      assert.ok((await readStates(db, taskId)).every(([, state]) => state === 'pending'));
      for (const delivery of current) {
        assert.notEqual(await dispatcher.record(delivery, { kind: 'delivered' }), undefined);
      }
    }
  });

  test('does not count an attempt after another one disabled the config', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const taskId = await startQueue(false);
    const [first, second] = (await dispatcher.claim(taskId, 2)).deliveries;
    assert.ok(first !== undefined && second !== undefined);
    await dispatcher.record(first, { kind: 'abandoned', reason: 'gone' });
    assert.deepEqual(
      (await readStates(db, taskId)).map(([, state]) => state),
      ['failed', 'failed', 'failed', 'failed'],
    );
    await redeliver(db, options, caller, { taskId, configId: 'hook' }, { event: 2 });
    assert.equal(await dispatcher.record(second, { kind: 'delivered' }), undefined);
  });

  test('does not count a deferral as an attempt or as a failure', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const taskId = await startQueue(true);
    const delivery = await claimOne(dispatcher, taskId);
    await dispatcher.record(delivery, { kind: 'deferred', delaySeconds: 0, reason: 'host_busy' });
    assert.deepEqual(await readAttempts(db, taskId), []);
    assert.equal((await readConfig(db, taskId)).failures, 0);
    const { attempt, failures } = await claimOne(dispatcher, taskId);
    assert.deepEqual([attempt, failures], [1, 0]);
  });

  test('look for nothing else before the retry of the head of an ordered config', { timeout }, async (t) => {
    const dispatcher = startDispatcher();
    for (const [ordered, statements] of [
      [true, 1],
      [false, 2],
    ] as const) {
      const delivery = await claimOne(dispatcher, await startQueue(ordered));
      const query = t.mock.method(Client.prototype, 'query');
      await dispatcher.record(delivery, { kind: 'deferred', delaySeconds: 50, reason: 'host_busy' }, true);
      assert.equal(query.mock.callCount(), statements);
      query.mock.restore();
    }
  });

  for (const [when, waits] of [
    ['before', false],
    ['while', true],
  ] as const) {
    test(`wake an event that was redelivered ${when} they waited`, { timeout }, async () => {
      const dispatcher = startDispatcher();
      const taskId = await startQueue(true);
      const first = await claimOne(dispatcher, taskId);
      const second = (await dispatcher.record(first, { kind: 'delivered' }, true))?.next;
      assert.equal(second?.seq, 2);
      const retry = { kind: 'retry', delaySeconds: 50 } as const;
      const { record } = await db.transaction().execute(async (trx) => {
        await sql`select from webhook_configs where task_id = ${taskId} for update`.execute(trx);
        const change = async () => {
          const on = waits ? trx : db;
          await sql`
            update deliveries set state = 'pending', due_at = now() where task_id = ${taskId} and seq = 1`.execute(
            on,
          );
        };
        if (!waits) await change();
        const record = dispatcher.record(second, retry);
        await waitForLock('%c.ordered, c.xmin as version%');
        if (waits) {
          await sql`update webhook_configs set failures = failures where task_id = ${taskId}`.execute(trx);
          await change();
        }
        return { record };
      });
      const due = (await record)?.wakeups.filter(({ dueAt }) => dueAt.getTime() < Date.now() + 10_000);
      assert.equal(due?.length, 1);
      assert.equal((await claimOne(dispatcher, taskId)).seq, 1);
    });
  }

  test('returns a different next delivery of an unordered config to each caller', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const taskId = await startQueue(false);
    const { deliveries } = await dispatcher.claim(taskId, 2);
    const recorded = await Promise.all(
      deliveries.map((delivery) => dispatcher.record(delivery, { kind: 'delivered' }, true)),
    );
    assert.deepEqual(
      recorded.map((result) => [result?.next?.seq, result?.wakeups.length]),
      [
        [3, 0],
        [4, 0],
      ],
    );
  });

  test('wakes an unordered config once when its callers stop', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const taskId = await startQueue(false);
    const { deliveries } = await dispatcher.claim(taskId, 2);
    const recorded = await Promise.all(
      deliveries.map((delivery) => dispatcher.record(delivery, { kind: 'delivered' })),
    );
    assert.equal(recorded.flatMap((result) => result?.wakeups ?? []).length, 1);
    assert.ok(recorded.every((result) => result?.next === undefined));
  });

  test('leaves the retry of the head alone when a test succeeds', { timeout }, async () => {
    const dispatcher = startDispatcher();
    const taskId = await startQueue(true);
    await dispatcher.record(await claimOne(dispatcher, taskId), { kind: 'retry', delaySeconds: 50 });
    const due = (await readDeliveries(db, taskId))[0]!.due_at;
    await db
      .insertInto('deliveries')
      .values({ task_id: taskId, config_id: 'hook', seq: -1, wakeup_at: new Date(), merged_from: null })
      .execute();
    const sent = await claimOne(dispatcher, taskId);
    assert.equal(sent.seq, -1);
    await dispatcher.record(sent, { kind: 'delivered' }, true);
    const head = (await readDeliveries(db, taskId)).find(({ seq }) => seq === 1)!;
    assert.deepEqual([head.due_at, head.failures], [due, 1]);
  });
});
