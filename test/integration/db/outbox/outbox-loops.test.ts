/** The relay publishes wake-ups that their writer did not, and the reconciler wakes stalled work. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { createDeliveryClaim } from '#shared/db/webhooks/attempts/claim.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { startOutboxLoops } from '#shared/outbox/loops.ts';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import { createReconciler } from '#shared/outbox/reconciler.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { newTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { noLimits } from '../../../support/services/quotas.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { startDispatchers } from '../../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../../support/webhooks/receiver.ts';
import { startTask, webhookTo } from '../../../support/webhooks/webhooks.ts';

const log = createLogger('test', 'silent');
const { db } = await connectToTestDatabase();

/** Work of earlier tests is never late. */
beforeEach(async () => {
  await db.deleteFrom('outbox').execute();
  await sql`update gates set wakeup_at = now() + interval '1 hour'`.execute(db);
  await sql`update deliveries set wakeup_at = now() + interval '1 hour'`.execute(db);
});

async function readOutboxKinds(taskId: string): Promise<string[]> {
  const wakeups = await db.selectFrom('outbox').select('kind').where('task_id', '=', taskId).execute();
  return wakeups.map(({ kind }) => kind).toSorted();
}

/** Extends the writer's claims, so that they outlast a slow test. */
const extendClaims = (taskId: string) =>
  sql`update outbox set claimed_until = claimed_until + interval '1 minute'
    where task_id = ${taskId} and claimed_until > due_at`.execute(db);

const expireClaims = (taskId: string) =>
  sql`update outbox set claimed_until = now() - interval '1 second' where task_id = ${taskId}`.execute(db);

const loseWakeups = (taskId: string) => sql`delete from outbox where task_id = ${taskId}`.execute(db);

async function passGrace(taskId: string): Promise<void> {
  await sql`update gates set wakeup_at = now() - interval '1 second' where task_id = ${taskId}`.execute(db);
  await sql`update deliveries set wakeup_at = now() - interval '1 second' where task_id = ${taskId}`.execute(
    db,
  );
}

test('a start time that is near is timed by the process whose pass finds it', async (t) => {
  const published = Promise.withResolvers<number>();
  const outbox = createOutboxPublisher({
    db,
    publishTurns: async () => published.resolve(Date.now()),
    scheduleDeliveries: async () => undefined,
    log,
  });
  const task = newTask({ startAt: new Date(Date.now() + 3_600_000).toISOString() });
  await createAccept(db, { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 30 })(task);
  const { rows } = await sql<{ at: Date }>`
    update gates set run_at = now() + interval '1.5 seconds', wakeup_at = now() + interval '1.5 seconds'
    where task_id = ${task.taskId} returning run_at as at`.execute(db);
  // The next pass is after the start.
  const config = {
    reconcileMs: 2_000,
    wakeupGraceSeconds: 30,
    interruptedExpirySeconds: 60,
    retentionSeconds: 0,
  };
  await createReconciler({ db, outbox, config, log })();
  t.after(() => outbox.idle());
  const late = (await published.promise) - rows[0]!.at.getTime();
  assert.ok(late >= 0, `${-late} ms early`);
});

describe('a start time within ten seconds', () => {
  const accept = createAccept(db, { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 30 });
  const startIn = (ms: number) => newTask({ startAt: new Date(Date.now() + ms).toISOString() });

  test('is kept by the process that accepted the task', async () => {
    const published = Promise.withResolvers<number>();
    const outbox = createOutboxPublisher({
      db,
      publishTurns: async () => published.resolve(Date.now()),
      scheduleDeliveries: async () => undefined,
      log,
    });
    const task = startIn(300);
    outbox.publish((await accept(task)) ?? []);
    const late = (await published.promise) - Date.parse(task.startAt ?? '');
    assert.ok(late >= 0, `${late} ms`);
    await outbox.idle();
  });

  test('is left to the relay if that process dies, and to the reconciler if it is later', async () => {
    const [near, far] = [startIn(5_000), startIn(60_000)];
    await accept(near);
    assert.deepEqual(await accept(far), []);
    assert.deepEqual(await readOutboxKinds(far.taskId), []);
    const { rows } = await sql<{ claimed: number; grace: number }>`
      select extract(epoch from o.claimed_until - g.run_at)::int as claimed,
        extract(epoch from g.wakeup_at - g.run_at)::int as grace
      from outbox o join gates g on g.task_id = o.task_id where o.task_id = ${near.taskId}`.execute(db);
    assert.deepEqual(rows, [{ claimed: 2, grace: 30 }]);
  });
});

describe('relay', () => {
  test('publishes wake-ups when the claim of their writer expires', async (t) => {
    const receiver = await startReceiver(t);
    const { app, turnWakeups, outbox } = await startDispatchers(t, db, 1);
    const reconcile = () => app.inject({ method: 'POST', url: '/reconcile' });
    const { taskId } = await startTask(db, undefined, webhookTo(receiver.url));
    await extendClaims(taskId);
    assert.deepEqual(await readOutboxKinds(taskId), ['delivery', 'turn']);
    assert.equal((await reconcile()).statusCode, 204);
    assert.deepEqual(turnWakeups, []);
    await expireClaims(taskId);
    await reconcile();
    await receiver.count(1);
    assert.deepEqual(turnWakeups, [{ taskId, turn: 1 }]);
    await outbox.idle();
    assert.deepEqual(await readOutboxKinds(taskId), []);
  });
});

describe('reconciler', () => {
  test('wakes deliveries whose wake-ups were lost', async (t) => {
    const receiver = await startReceiver(t);
    const { app, turnWakeups } = await startDispatchers(t, db, 1);
    const task = await startTask(db, undefined, webhookTo(receiver.url));
    const other = await startTask(db, undefined, webhookTo(receiver.url));
    await task.claim();
    await loseWakeups(task.taskId);
    await loseWakeups(other.taskId);
    await passGrace(task.taskId);
    await app.inject({ method: 'POST', url: '/reconcile', payload: 'anything' });
    await receiver.count(2);
    assert.deepEqual(receiver.events(), [1, 2]);
    assert.deepEqual(turnWakeups, [], 'a turn with a live lease needs no wake-up');
  });

  test('wakes a turn whose lease expired once per grace', async (t) => {
    const { app, turnWakeups } = await startDispatchers(t, db, 1);
    const reconcile = () => app.inject({ method: 'POST', url: '/reconcile' });
    const { taskId, claim } = await startTask(db, undefined);
    await claim();
    await loseWakeups(taskId);
    await sql`update gates set lease_until = now() - interval '1 second' where task_id = ${taskId}`.execute(
      db,
    );
    await passGrace(taskId);
    await Promise.all([reconcile(), reconcile(), reconcile()]);
    assert.deepEqual(turnWakeups, [{ taskId, turn: 1 }]);
    await reconcile();
    assert.equal(turnWakeups.length, 1);
  });

  test('redelivers when the lease of a dead dispatcher expires', async (t) => {
    const receiver = await startReceiver(t);
    const { app } = await startDispatchers(t, db, 1);
    const reconcile = () => app.inject({ method: 'POST', url: '/reconcile' });
    const { taskId } = await startTask(db, undefined, webhookTo(receiver.url));
    const claim = createDeliveryClaim(db, { leaseSeconds: 60 });
    const claimed = await claim({ taskId, configId: 'hook', limit: 1 });
    assert.equal(claimed.deliveries.length, 1);
    await loseWakeups(taskId);
    await passGrace(taskId);
    await reconcile();
    const { rows } = await sql<{ later: boolean }>`
      select wakeup_at > now() + interval '60 seconds' as later from deliveries where task_id = ${taskId}`.execute(
      db,
    );
    assert.deepEqual(rows, [{ later: true }]);
    assert.equal(receiver.received.length, 0);
    await sql`update deliveries set lease_until = now() - interval '1 second' where task_id = ${taskId}`.execute(
      db,
    );
    await passGrace(taskId);
    await reconcile();
    await receiver.count(1);
  });

  /** Changes a config, runs one reconciler pass over its late delivery, and returns the delivery. */
  async function reconcileChanged(t: TestContext, change: (taskId: string) => unknown) {
    const receiver = await startReceiver(t);
    const { app } = await startDispatchers(t, db, 1);
    const { taskId } = await startTask(db, undefined, webhookTo(receiver.url));
    await loseWakeups(taskId);
    await passGrace(taskId);
    await change(taskId);
    await app.inject({ method: 'POST', url: '/reconcile' });
    assert.equal(receiver.received.length, 0);
    const wakeupIn = sql<number>`extract(epoch from wakeup_at - now())::float8`;
    return db
      .selectFrom('deliveries')
      .select(['state', wakeupIn.as('wakeupInSeconds')])
      .where('task_id', '=', taskId)
      .executeTakeFirstOrThrow();
  }

  test('leaves a delivery alone until the next attempt of its config', async (t) => {
    const { state, wakeupInSeconds } = await reconcileChanged(t, (taskId) =>
      sql`update deliveries set due_at = now() + interval '1 hour' where task_id = ${taskId}`.execute(db),
    );
    assert.equal(state, 'pending');
    assert.ok(Math.abs(wakeupInSeconds - 3_610) < 10, `${wakeupInSeconds}`);
  });

  test('fails a delivery whose config is disabled', async (t) => {
    const { state } = await reconcileChanged(t, (taskId) =>
      sql`update webhook_configs set disabled_at = now() where task_id = ${taskId}`.execute(db),
    );
    assert.equal(state, 'failed');
  });

  test('cancels a delivery whose config was deleted', async (t) => {
    const { state } = await reconcileChanged(t, (taskId) =>
      sql`delete from webhook_configs where task_id = ${taskId}`.execute(db),
    );
    assert.equal(state, 'cancelled');
  });
});

describe('outbox loops', () => {
  test('survive a database outage and stop when closed', async (t) => {
    const { outbox, turnWakeups } = await startDispatchers(t, db, 1);
    const { taskId } = await startTask(db, undefined);
    let down = true;
    const failing = new Proxy(db, {
      get: (target, name) => {
        if (down) throw new Error('database is down');
        const value = Reflect.get(target, name, target) as unknown;
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const loops = startOutboxLoops({
      db: failing,
      outbox,
      config: {
        wakeupGraceSeconds: 10,
        reconcileMs: 10,
        interruptedExpirySeconds: 3600,
        retentionSeconds: 0,
      },
      getLimits: async () => noLimits,
      log,
    });
    t.after(() => loops.close());
    await expireClaims(taskId);
    await passGrace(taskId);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(turnWakeups, []);
    down = false;
    await waitFor('wake-ups by the relay and the reconciler', () => turnWakeups.length === 2);
    await loops.close();
    await loops.close();
    await passGrace(taskId);
    assert.deepEqual(turnWakeups, [
      { taskId, turn: 1 },
      { taskId, turn: 1 },
    ]);
  });
});

describe('retention', () => {
  test('logs a whole pass in one line, and not again within a minute', async () => {
    const lines: unknown[] = [];
    const recording = Object.assign(Object.create(log), {
      info: (line: unknown) => lines.push(line),
    }) as typeof log;
    const config = {
      reconcileMs: 2_000,
      wakeupGraceSeconds: 30,
      interruptedExpirySeconds: 60,
      retentionSeconds: 60,
    };
    const outbox = {
      publish: () => undefined,
      publishAll: async () => undefined,
      idle: async () => undefined,
    };
    const reconcile = createReconciler({ db, outbox, config, log: recording });
    const insertEnded = (count: number) =>
      sql`
      insert into gates (task_id, last_event, wakeup_at, state_class, settled_at)
      select gen_random_uuid(), 1, now(), 2, now() - interval '2 minutes' from generate_series(1, ${count}::int)`.execute(
        db,
      );
    await insertEnded(250);
    while (await reconcile());
    assert.deepEqual(lines, [{ found: { deleted_tasks: 250 } }]);
    await insertEnded(5);
    while (await reconcile());
    assert.equal(lines.length, 1);
  });
});

describe('delivery scheduler', () => {
  test('wakes the dispatcher once for each wake-up, when it is due', async (t) => {
    const receiver = await startReceiver(t);
    const { config } = await startDispatchers(t, db, 1);
    const scheduler = createDeliveryScheduler({ ...config, dispatcherUrl: receiver.url });
    t.after(() => scheduler.close());
    const wakeup = { id: '1', taskId: 'task', configId: 'hook' };
    await scheduler.scheduleDeliveries([{ ...wakeup, dueAt: new Date() }]);
    await receiver.count(1);
    const due = performance.now() + 300;
    const dueAt = new Date(Date.now() + 300);
    await scheduler.scheduleDeliveries([{ ...wakeup, id: '2', dueAt }]);
    await scheduler.scheduleDeliveries([{ ...wakeup, id: '2', dueAt: new Date() }]);
    await scheduler.scheduleDeliveries([
      { ...wakeup, id: '3', dueAt: new Date(Date.now() + 40 * 86_400_000) },
    ]);
    await receiver.count(2);
    assert.ok(receiver.received[1]!.at >= due - 1);
    for (const { path, method, body, headers } of receiver.received) {
      assert.deepEqual(
        [method, path, headers['content-type']],
        ['POST', '/hook/deliver', 'application/json'],
      );
      assert.deepEqual(JSON.parse(body), { configs: [{ taskId: 'task', configId: 'hook' }] });
    }
    assert.equal(receiver.received.length, 2);
  });

  test('spreads Cloud Tasks over its queues', async (t) => {
    const receiver = await startReceiver(t);
    const queues = ['q', 'q2', 'q3'];
    const { config } = await startDispatchers(t, db, 1, { queues });
    const scheduler = createDeliveryScheduler({ ...config, dispatcherUrl: receiver.url });
    t.after(() => scheduler.close());
    const configs = Array.from({ length: 3 }, (_, at) => ({ taskId: `task ${at}`, configId: 'hook' }));
    await Promise.all(
      Array.from({ length: 30 }, (_, id) =>
        scheduler.scheduleDeliveries(configs.map((key) => ({ ...key, id: String(id), dueAt: new Date(0) }))),
      ),
    );
    await receiver.count(30);
    const used = new Set(receiver.received.map(({ headers }) => headers['x-cloudtasks-queuename']));
    assert.deepEqual(used, new Set(queues));
    assert.deepEqual(JSON.parse(receiver.received[0]!.body), { configs });
  });
});
