import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { startOutboxLoops } from '#shared/outbox/loops.ts';
import { createDeliveryClaim } from '#shared/db/webhooks/claim.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { sql } from 'kysely';
import { waitFor } from '../../support/wait-for.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { openTestDatabase, startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const log = createLogger('test', 'silent');
const db = await openTestDatabase();

/** What the tests before have left is not overdue in the next, however long they took. */
beforeEach(async () => {
  await db.deleteFrom('outbox').execute();
  await sql`update gates set wakeup_at = now() + interval '1 hour'`.execute(db);
  await sql`update deliveries set wakeup_at = now() + interval '1 hour'`.execute(db);
});

const outboxKinds = async (taskId: string) =>
  (await db.selectFrom('outbox').select('kind').where('task_id', '=', taskId).execute()).map(
    ({ kind }) => kind,
  );
/** As if no time had passed since: what its writer has not claimed stays free. */
const keepClaims = (taskId: string) =>
  sql`update outbox set claimed_until = claimed_until + interval '1 minute'
    where task_id = ${taskId} and claimed_until > due_at`.execute(db);
/** As if so much time had passed since the wakeups were written. */
const unclaim = (taskId: string) =>
  sql`update outbox set claimed_until = now() - interval '1 second' where task_id = ${taskId}`.execute(db);
const loseWakeups = (taskId: string) => sql`delete from outbox where task_id = ${taskId}`.execute(db);
const graceOver = async (taskId: string) => {
  await sql`update gates set wakeup_at = now() - interval '1 second' where task_id = ${taskId}`.execute(db);
  await sql`update deliveries set wakeup_at = now() - interval '1 second' where task_id = ${taskId}`.execute(
    db,
  );
};

test('the relay rings what its writer did not, once its claim is over', { timeout }, async (t) => {
  const receiver = await startReceiver(t);
  const { app, turnWakeups, outbox } = await startDispatchers(t, db, 1);
  const pass = () => app.inject({ method: 'POST', url: '/reconcile' });
  const task = await startTask(db, undefined, webhookTo(receiver.url));
  await keepClaims(task.taskId);
  assert.deepEqual((await outboxKinds(task.taskId)).toSorted(), ['delivery', 'turn']);
  assert.equal((await pass()).statusCode, 204);
  assert.deepEqual(turnWakeups, []);
  await unclaim(task.taskId);
  await pass();
  await receiver.count(1);
  assert.deepEqual(turnWakeups, [{ taskId: task.taskId, turn: 1 }]);
  await outbox.idle();
  assert.deepEqual(await outboxKinds(task.taskId), []);
});

test(
  'the reconciler rings for work whose wakeups were lost, and once for each grace',
  { timeout },
  async (t) => {
    const receiver = await startReceiver(t);
    const { app, turnWakeups } = await startDispatchers(t, db, 1);
    const pass = () => app.inject({ method: 'POST', url: '/reconcile', payload: 'anything' });
    const task = await startTask(db, undefined, webhookTo(receiver.url));
    const quiet = await startTask(db, undefined, webhookTo(receiver.url));
    await task.claim();
    await loseWakeups(task.taskId);
    await loseWakeups(quiet.taskId);
    await graceOver(task.taskId);
    await pass();
    await receiver.count(2);
    assert.deepEqual(receiver.events(), [1, 2]);
    assert.deepEqual(turnWakeups, [], 'a turn with a live lease needs no wakeup');
    await sql`update gates set lease_until = now() - interval '1 second' where task_id = ${task.taskId}`.execute(
      db,
    );
    await graceOver(task.taskId);
    await Promise.all([pass(), pass(), pass()]);
    assert.deepEqual(turnWakeups, [{ taskId: task.taskId, turn: 1 }]);
    await pass();
    assert.equal(turnWakeups.length, 1);
  },
);

test('a dispatcher that dies in an attempt is replaced when its lease is over', { timeout }, async (t) => {
  const receiver = await startReceiver(t);
  const { app } = await startDispatchers(t, db, 1);
  const pass = () => app.inject({ method: 'POST', url: '/reconcile' });
  const task = await startTask(db, undefined, webhookTo(receiver.url));
  const claim = createDeliveryClaim(db, { leaseSeconds: 60 });
  const claimed = await claim({ taskId: task.taskId, configId: 'hook', limit: 1 });
  assert.equal(claimed.deliveries.length, 1);
  await loseWakeups(task.taskId);
  await graceOver(task.taskId);
  await pass();
  const { rows } = await sql<{ later: boolean }>`
    select wakeup_at > now() + interval '60 seconds' as later from deliveries where task_id = ${task.taskId}`.execute(
    db,
  );
  assert.deepEqual(rows, [{ later: true }]);
  assert.equal(receiver.received.length, 0);
  await sql`update deliveries set lease_until = now() - interval '1 second' where task_id = ${task.taskId}`.execute(
    db,
  );
  await graceOver(task.taskId);
  await pass();
  await receiver.count(1);
});

test(
  'the reconciler leaves a config alone until its next attempt, and settles what can never be sent',
  { timeout },
  async (t) => {
    const receiver = await startReceiver(t);
    const { app } = await startDispatchers(t, db, 1);
    const pass = () => app.inject({ method: 'POST', url: '/reconcile' });
    const tasks = [];
    for (let index = 0; index < 3; index++) {
      const task = await startTask(db, undefined, webhookTo(receiver.url));
      await loseWakeups(task.taskId);
      await graceOver(task.taskId);
      tasks.push(task.taskId);
    }
    const [waiting, disabled, gone] = tasks as [string, string, string];
    await sql`update deliveries set due_at = now() + interval '1 hour' where task_id = ${waiting}`.execute(
      db,
    );
    await sql`update webhook_configs set disabled_at = now() where task_id = ${disabled}`.execute(db);
    await sql`delete from webhook_configs where task_id = ${gone}`.execute(db);
    await pass();
    const deliveries = await db
      .selectFrom('deliveries')
      .select([
        'task_id',
        'state',
        sql<number>`extract(epoch from wakeup_at - now())::float8`.as('in_seconds'),
      ])
      .where('task_id', 'in', tasks)
      .execute();
    const of = (taskId: string) => deliveries.find((row) => row.task_id === taskId)!;
    assert.equal(of(waiting).state, 'pending');
    assert.ok(Math.abs(of(waiting).in_seconds - 3_610) < 10, `${of(waiting).in_seconds}`);
    assert.equal(of(disabled).state, 'failed');
    assert.equal(of(gone).state, 'cancelled');
    assert.equal(receiver.received.length, 0);
  },
);

test('the loops outlive a database that is away, and stop when asked', { timeout }, async (t) => {
  const { outbox, turnWakeups } = await startDispatchers(t, db, 1);
  const task = await startTask(db, undefined);
  let away = true;
  const failing = new Proxy(db, {
    get: (target, name) => {
      if (away) throw new Error('away');
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  const loops = startOutboxLoops({
    db: failing,
    outbox,
    config: { wakeupGraceSeconds: 10, reconcileMs: 10, interruptedExpirySeconds: 3600, retentionSeconds: 0 },
    log,
  });
  t.after(() => loops.close());
  await unclaim(task.taskId);
  await graceOver(task.taskId);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(turnWakeups, []);
  away = false;
  await waitFor('two wake-ups', () => turnWakeups.length === 2);
  await loops.close();
  await loops.close();
  await graceOver(task.taskId);
  assert.deepEqual(turnWakeups, [
    { taskId: task.taskId, turn: 1 },
    { taskId: task.taskId, turn: 1 },
  ]);
});

test(
  'a wakeup that is rung twice wakes the dispatcher once, and one in the future then',
  { timeout },
  async (t) => {
    const receiver = await startReceiver(t);
    const { config } = await startDispatchers(t, db, 1);
    const scheduler = createDeliveryScheduler({ ...config, dispatcherUrl: receiver.url });
    t.after(() => scheduler.close());
    const wakeup = { id: '1', taskId: 'task', configId: 'hook' };
    await scheduler.scheduleDelivery({ ...wakeup, dueAt: new Date() });
    await receiver.count(1);
    const due = performance.now() + 300;
    const dueAt = new Date(Date.now() + 300);
    await scheduler.scheduleDelivery({ ...wakeup, id: '2', dueAt });
    await scheduler.scheduleDelivery({ ...wakeup, id: '2', dueAt: new Date() });
    await scheduler.scheduleDelivery({ ...wakeup, id: '3', dueAt: new Date(Date.now() + 40 * 86_400_000) });
    await receiver.count(2);
    assert.ok(receiver.received[1]!.at >= due - 1);
    for (const { path, method, body, headers } of receiver.received) {
      assert.deepEqual(
        [method, path, headers['content-type']],
        ['POST', '/hook/deliver', 'application/json'],
      );
      assert.deepEqual(JSON.parse(body), { taskId: 'task', configId: 'hook' });
    }
    assert.equal(receiver.received.length, 2);
  },
);
