/** Dispatchers take wake-ups from the outbox, so that first attempts need no Cloud Task. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, test } from 'node:test';
import { sql } from 'kysely';
import { deliveriesChannel } from '#shared/db/events/fan-out.ts';
import { createEventHints } from '#shared/db/events/hints.ts';
import { createDeliveryClaim } from '#shared/db/webhooks/attempts/claim.ts';
import { createAttemptRecorder } from '#shared/db/webhooks/attempts/record.ts';
import { takeDeliveries } from '#shared/db/webhooks/attempts/take.ts';
import type { DeliveryWakeup } from '#shared/domain/wakeup.ts';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { waitFor } from '../../support/wait-for.ts';
import { readDeliveries, waitForDeliveries } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const { db, url } = await connectToTestDatabase();
const log = createLogger('test', 'silent');
const all = { wakeups: 100, limit: 16, exceptOwners: [] };

beforeEach(() => db.deleteFrom('outbox').execute());

const readWakeups = async () =>
  (await db.selectFrom('outbox').select('task_id').where('kind', '=', 'delivery').execute()).length;

describe('takeDeliveries', () => {
  test('claims what the wake-ups are for, with small events', { timeout }, async () => {
    const { taskId, contextId } = await startTask(db, undefined, webhookTo('https://example.com/'));
    const { taken, queues } = await takeDeliveries(db, 30, all);
    assert.equal(taken, 1);
    const [delivery] = [...queues.values()].flatMap(({ deliveries }) => deliveries);
    assert.deepEqual([delivery?.taskId, delivery?.seq, delivery?.attempt], [taskId, 1, 1]);
    assert.ok(JSON.stringify(delivery?.event?.payload).includes(contextId));
    assert.equal(await readWakeups(), 0);
    assert.deepEqual((await takeDeliveries(db, 30, all)).taken, 0);
  });

  test('takes each wake-up once in several processes', { timeout }, async () => {
    for (let count = 0; count < 6; count++) await startTask(db, undefined, webhookTo('https://example.com/'));
    const takes = await Promise.all([1, 2, 3].map(() => takeDeliveries(db, 30, { ...all, wakeups: 2 })));
    const claimed = takes.flatMap(({ queues }) =>
      [...queues.values()].flatMap(({ deliveries }) => deliveries),
    );
    assert.equal(new Set(claimed.map(({ taskId }) => taskId)).size, claimed.length);
    assert.equal(claimed.length + (await readWakeups()), 6);
  });

  test('leaves the wake-ups of owners without room, and those that are due later', { timeout }, async () => {
    await startTask(db, undefined, webhookTo('https://example.com/'), 'busy');
    const { taskId } = await startTask(db, undefined, webhookTo('https://example.com/'), 'other');
    const later = await startTask(db, undefined, webhookTo('https://example.com/'), 'later');
    const dueAt = new Date(Date.now() + 3_600_000);
    await db.updateTable('outbox').set({ due_at: dueAt }).where('task_id', '=', later.taskId).execute();
    const { taken, queues } = await takeDeliveries(db, 30, { ...all, exceptOwners: ['busy'] });
    const claimed = [...queues.values()].flatMap(({ deliveries }) => deliveries);
    assert.deepEqual([taken, claimed.map((delivery) => delivery.taskId)], [1, [taskId]]);
    assert.equal(await readWakeups(), 2);
  });
});

describe('wake-ups of an ordered config', () => {
  test('are not written for events behind one that is pending', { timeout }, async () => {
    const task = await startTask(db, undefined, webhookTo('https://example.com/', { events: 'all' }));
    await task.claim();
    await task.progress(2);
    assert.equal(await readWakeups(), 1);
    const { queues } = await takeDeliveries(db, 30, all);
    await task.progress(1);
    assert.equal(await readWakeups(), 0, 'an attempt at the first event is in flight');
    assert.equal(queues.size, 1);
  });

  test('are written if no event is pending, or it is being recorded', { timeout }, async () => {
    const task = await startTask(db, undefined, webhookTo('https://example.com/', { events: 'all' }));
    await db.transaction().execute(async (trx) => {
      await sql`select from deliveries where task_id = ${task.taskId} for update`.execute(trx);
      await task.claim();
    });
    assert.equal(await readWakeups(), 2);
    await db
      .updateTable('deliveries')
      .set({ state: 'delivered' })
      .where('task_id', '=', task.taskId)
      .execute();
    await task.progress(1);
    assert.equal(await readWakeups(), 3);
  });

  test('are written for each event of an unordered config', { timeout }, async () => {
    const webhook = webhookTo('https://example.com/', { events: 'all', ordered: false });
    const task = await startTask(db, undefined, webhook);
    await task.claim();
    await task.progress(1);
    assert.equal(await readWakeups(), 3);
    const { rows } = await sql`select from deliveries where task_id = ${task.taskId} and xmax <> 0`.execute(
      db,
    );
    assert.equal(rows.length, 0, 'they are not locked');
  });
});

describe('a dispatcher that listens', () => {
  test('takes nothing once its process stops', { timeout }, async (t) => {
    const stop = new AbortController();
    const dispatchers = await startDispatchers(t, db, 1, { stopping: stop.signal });
    await startTask(db, undefined, webhookTo('https://example.com/'));
    stop.abort();
    dispatchers.take();
    assert.equal((await takeDeliveries(db, 30, all)).taken, 1);
  });

  test('attempts what is committed without a call of Cloud Tasks', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const dispatchers = await startDispatchers(t, db, 1);
    const hints = createEventHints({ url }, deliveriesChannel, log);
    t.after(() => hints.close());
    hints.listen(() => dispatchers.take());
    // Nothing publishes these wake-ups.
    const task = await startTask(db, undefined, webhookTo(receiver.url));
    await task.claim();
    await task.end('TASK_STATE_COMPLETED');
    await waitForDeliveries(db, task.taskId);
    assert.deepEqual(receiver.events(), [1, 2, 3]);
    assert.equal(dispatchers.calls(), 0);
  });
});

describe('a dispatcher without room for all queues', () => {
  test('defers no event of a queue that it has started', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    // The owner has two slots.
    const dispatchers = await startDispatchers(t, db, 1, { concurrency: 4 });
    const starting = Array.from({ length: 8 }, () => startTask(db, undefined, webhookTo(receiver.url)));
    const tasks = await Promise.all(starting);
    for (const task of tasks) await task.claim();
    for (const task of tasks) await task.end('TASK_STATE_COMPLETED');
    dispatchers.take();
    for (const { taskId } of tasks) await waitForDeliveries(db, taskId);
    const taskIds = tasks.map(({ taskId }) => taskId);
    const claims = await db
      .selectFrom('deliveries')
      .select('fence')
      .where('task_id', 'in', taskIds)
      .execute();
    assert.deepEqual(
      claims.map(({ fence }) => fence),
      Array.from({ length: 24 }, () => 1),
    );
  });
});

describe('wake-ups of deliveries', () => {
  /** An outbox publisher whose calls to Cloud Tasks the test sees. */
  function createPublisher() {
    const created: string[][] = [];
    const dueAt: Date[] = [];
    const outbox = createOutboxPublisher({
      db,
      publishTurns: async () => undefined,
      scheduleDeliveries: async (wakeups) => {
        created.push(wakeups.map(({ taskId }) => taskId));
        dueAt.push(wakeups[0]!.dueAt);
      },
      log,
    });
    return { outbox, created, dueAt };
  }

  /** Starts a task and returns its wake-up, which is not published. */
  async function commit(): Promise<DeliveryWakeup> {
    const { taskId } = await startTask(db, undefined, webhookTo('https://example.com/'));
    const row = db
      .selectFrom('outbox')
      .select('id')
      .where('task_id', '=', taskId)
      .where('kind', '=', 'delivery');
    const { id } = await row.executeTakeFirstOrThrow();
    return { id, kind: 'delivery', taskId, configId: 'hook', dueAt: new Date(0) };
  }

  test('share a Cloud Task if they are due, and have others if they are not', { timeout }, async () => {
    const { outbox, created } = createPublisher();
    const due = [await commit(), await commit(), await commit()];
    const later = { ...(await commit()), dueAt: new Date(Date.now() + 60_000) };
    const muchLater = { ...(await commit()), dueAt: new Date(Date.now() + 90_000) };
    await outbox.publishAll([...due, later, muchLater]);
    assert.deepEqual(
      created.map(({ length }) => length).toSorted((a, b) => a - b),
      [1, 1, 3],
    );
    await waitFor('the outbox to be empty', async () => (await readWakeups()) === 0);
  });

  test('share a Cloud Task if they are due later at about the same time', { timeout }, async () => {
    const { outbox, created, dueAt } = createPublisher();
    const wakeups = [await commit(), await commit(), await commit()];
    // A minute may be late by four seconds.
    const at = Math.ceil((Date.now() + 60_000) / 2048) * 2048;
    for (const [index, wakeup] of wakeups.entries())
      outbox.publish([{ ...wakeup, dueAt: new Date(at - 100 * index) }]);
    await waitFor('a Cloud Task', () => created.length > 0);
    assert.deepEqual(created, [wakeups.map(({ taskId }) => taskId)]);
    assert.deepEqual(dueAt, [new Date(at)]);
    await waitFor('the outbox to be empty', async () => (await readWakeups()) === 0);
  });

  test('are at most a sixteenth of their delay late, and are not taken for lost', { timeout }, async () => {
    const { outbox, created, dueAt } = createPublisher();
    const options = { leaseSeconds: 30, wakeupGraceSeconds: 10 };
    const [claim, record] = [createDeliveryClaim(db, options), createAttemptRecorder(db, options)];
    const delays = new Map<string, number>();
    const wakeups: DeliveryWakeup[] = [];
    for (const delaySeconds of [5, 66, 600, 3_600, 3_601, 3_602, 3_603, 86_400]) {
      const { taskId } = await startTask(db, undefined, webhookTo('https://example.com/'));
      const [delivery] = (await claim({ taskId, configId: 'hook', limit: 1 })).deliveries;
      const answer = { startedAt: new Date(), durationMs: 1, status: 503, error: null, responseStart: null };
      const outcome = { kind: 'retry', delaySeconds } as const;
      const next = { mayContinue: false, nextClaimId: randomUUID() };
      const recorded = await record({ ...answer, ...next, delivery: delivery!, outcome });
      wakeups.push(...(recorded?.wakeups ?? []));
      delays.set(taskId, delaySeconds);
    }
    outbox.publish(wakeups);
    await outbox.idle();
    assert.ok(created.length <= 6, 'the four of about an hour share one Cloud Task, or two');
    for (const [taskId, delaySeconds] of delays) {
      const [delivery] = await readDeliveries(db, taskId);
      const at = dueAt[created.findIndex((taskIds) => taskIds.includes(taskId))]!.getTime();
      const lateMs = at - delivery!.due_at.getTime();
      const message = `the retry after ${delaySeconds} s is ${lateMs} ms late`;
      assert.ok(lateMs >= 0 && lateMs <= (delaySeconds * 1000) / 16, message);
      const graceMs = delivery!.wakeup_at.getTime() - at;
      assert.ok(graceMs >= 10_000, `the reconciler wakes it ${graceMs} ms later`);
    }
  });

  test('are published at the latest when the process stops', { timeout }, async () => {
    const { outbox, created } = createPublisher();
    const wakeup = { ...(await commit()), dueAt: new Date(Date.now() + 600_000) };
    outbox.publish([wakeup]);
    await outbox.idle();
    assert.deepEqual(created, [[wakeup.taskId]]);
  });

  test('need no Cloud Task once dispatchers take them', { timeout }, async () => {
    const { outbox, created } = createPublisher();
    const first = await commit();
    await takeDeliveries(db, 30, all);
    // Its deletion finds that a dispatcher has taken it.
    await outbox.publishAll([first]);
    const second = await commit();
    await takeDeliveries(db, 30, all);
    outbox.publish([second]);
    await outbox.idle();
    assert.deepEqual(created, [[first.taskId]]);
  });
});
