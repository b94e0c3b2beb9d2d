/** How the dispatcher treats the answers of a receiver, and its own failures. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { bringForward } from '#shared/db/webhooks/attempts/forward.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { skipIfEncrypted } from '../../support/database/contents.ts';
import { createTestDatabase, connectToTestDatabase, openTestPool } from '../../support/database/postgres.ts';
import { waitFor } from '../../support/wait-for.ts';
import {
  readAttempts,
  readConfig,
  readStates,
  waitForDeliveries,
} from '../../support/webhooks/deliveries.ts';
import { callDeliver, startDispatchers, type DispatcherOptions } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { caller, startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const { db } = await connectToTestDatabase();

describe('webhook attempts', () => {
  test(
    'retries a failed attempt under the same id, and sends later events after it',
    { timeout, skip: skipIfEncrypted },
    async (t) => {
      const receiver = await startReceiver(t);
      const { outbox } = await startDispatchers(t, db, 1);
      receiver.answerBy(({ headers }) => {
        const attempts = receiver.received.filter(
          (earlier) => earlier.headers['webhook-id'] === headers['webhook-id'],
        ).length;
        return attempts < 3 ? 500 : 200;
      });
      const task = await startTask(db, outbox, webhookTo(receiver.url));
      await task.claim();
      await task.end('TASK_STATE_COMPLETED');
      await receiver.count(9);
      await waitForDeliveries(db, task.taskId);
      assert.deepEqual(receiver.events(), [1, 1, 1, 2, 2, 2, 3, 3, 3]);
      assert.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size, 3);
      assert.deepEqual(
        await readStates(db, task.taskId),
        [1, 2, 3].map((seq) => [seq, 'delivered', 3]),
      );
      const [attempt] = await readAttempts(db, task.taskId);
      assert.deepEqual([attempt!.status, attempt!.response_start], [500, 'said so']);
      assert.equal((await readConfig(db, task.taskId)).failures, 0);
    },
  );

  test('sends nothing to a host that was removed from the lists', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const everyone = ['hooks.example.com'];
    const lists: [DispatcherOptions, RegExp][] = [
      [{ destinations: { everyone, owners: new Map() } }, /may be sent only to hooks\.example\.com/],
      [
        { destinations: { everyone: undefined, owners: new Map([[caller.owner, everyone]]) } },
        /may be sent only to hooks\.example\.com/,
      ],
      [{ allowHosts: [] }, /https/],
    ];
    for (const [options, problem] of lists) {
      const { outbox } = await startDispatchers(t, db, 1, { schedule: [0], ...options });
      const { taskId } = await startTask(db, outbox, webhookTo(receiver.url));
      await waitForDeliveries(db, taskId);
      const [attempt] = await readAttempts(db, taskId);
      assert.match(attempt?.error ?? '', problem);
      assert.match((await readConfig(db, taskId)).disabled_reason ?? '', problem);
    }
    assert.equal(receiver.received.length, 0);
  });

  test('sends again on a new connection if a reused one is closed', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1);
    const used = new WeakSet<object>();
    let closed = 0;
    receiver.answerBy((_request, { socket }) => {
      const isReused = used.has(socket!);
      used.add(socket!);
      closed += Number(isReused);
      return isReused ? 0 : 200;
    });
    const task = await startTask(db, outbox, webhookTo(receiver.url), 'repeated');
    await receiver.count(1);
    await waitForDeliveries(db, task.taskId);
    await task.claim();
    await waitForDeliveries(db, task.taskId);
    assert.equal(closed, 1);
    assert.deepEqual(
      (await readAttempts(db, task.taskId)).map(({ attempt, status }) => [attempt, status]),
      [
        [1, 200],
        [1, 200],
      ],
    );
    const sent = receiver.received.reduce((bytes, { body }) => bytes + Buffer.byteLength(body), 0);
    await waitFor('the bytes of both bodies', async () => {
      const usage = db.selectFrom('webhook_usage').select('bytes').where('owner', '=', 'repeated');
      return (await usage.execute()).reduce((bytes, row) => bytes + Number(row.bytes), 0) === sent;
    });
  });

  test('counts an attempt if a new connection is closed', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1);
    receiver.answer(0, 200);
    const task = await startTask(db, outbox, webhookTo(receiver.url));
    await waitForDeliveries(db, task.taskId);
    assert.deepEqual(await readStates(db, task.taskId), [[1, 'delivered', 2]]);
  });

  test(
    'disables the config after a 410 and fails its pending and later deliveries',
    { timeout },
    async (t) => {
      const receiver = await startReceiver(t);
      const { outbox } = await startDispatchers(t, db, 1);
      const release = Promise.withResolvers<number>();
      receiver.answerBy(() => release.promise);
      const task = await startTask(db, outbox, webhookTo(receiver.url));
      await receiver.count(1);
      await task.claim();
      release.resolve(410);
      await waitFor('the disabled config', async () => (await readConfig(db, task.taskId)).disabled_at);
      await task.end('TASK_STATE_COMPLETED');
      await outbox.idle();
      assert.deepEqual(await readStates(db, task.taskId), [
        [1, 'failed', 1],
        [2, 'failed', 0],
        [3, 'failed', 0],
      ]);
      assert.match((await readConfig(db, task.taskId)).disabled_reason!, /410/);
      assert.equal(receiver.received.length, 1);
    },
  );

  test(
    'treats a redirect as a failure, and disables the config after the schedule',
    { timeout },
    async (t) => {
      const receiver = await startReceiver(t);
      const elsewhere = await startReceiver(t);
      const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.01] });
      receiver.answerBy(
        (_request, response) => void response.writeHead(307, { location: elsewhere.url }).end(),
      );
      const task = await startTask(db, outbox, webhookTo(receiver.url));
      await waitFor('the disabled config', async () => (await readConfig(db, task.taskId)).disabled_at);
      assert.deepEqual(await readStates(db, task.taskId), [[1, 'failed', 2]]);
      assert.match(
        (await readConfig(db, task.taskId)).disabled_reason!,
        /2 attempts in a row have failed; .* status 307/,
      );
      assert.equal(receiver.received.length, 2);
      assert.equal(elsewhere.received.length, 0);
    },
  );

  test('fails an attempt when the receiver does not answer or cannot be reached', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { timeoutMs: 1_000, schedule: [0] });
    receiver.answerBy(() => undefined);
    const silent = await startTask(db, outbox, webhookTo(receiver.url));
    const absent = await startTask(db, outbox, webhookTo('http://127.0.0.1:1/'));
    await waitForDeliveries(db, silent.taskId);
    await waitForDeliveries(db, absent.taskId);
    const [timedOut] = await readAttempts(db, silent.taskId);
    assert.equal(timedOut!.error, 'no answer within 1 s');
    assert.ok(timedOut!.duration_ms >= 990 && timedOut!.duration_ms < 10_000, `${timedOut!.duration_ms}`);
    const [refused] = await readAttempts(db, absent.taskId);
    assert.equal(refused!.error, 'ECONNREFUSED: the receiver cannot be connected to');
  });

  test(
    'counts the status even if the body breaks off, and stores its start',
    { timeout, skip: skipIfEncrypted },
    async (t) => {
      const receiver = await startReceiver(t);
      const { outbox } = await startDispatchers(t, db, 1, { timeoutMs: 2_000 });
      receiver.answerBy((_request, response) => {
        response.writeHead(200).write(`\u0000${'x'.repeat(5_000)}`);
      });
      const task = await startTask(db, outbox, webhookTo(receiver.url));
      await waitForDeliveries(db, task.taskId);
      assert.deepEqual(await readStates(db, task.taskId), [[1, 'delivered', 1]]);
      const [attempt] = await readAttempts(db, task.taskId);
      assert.equal(attempt!.response_start, `\uFFFD${'x'.repeat(1023)}`);
    },
  );

  test('waits as long as Retry-After says', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1);
    receiver.answerBy((_request, response) => {
      if (receiver.received.length > 1) return 200;
      return void response.writeHead(429, { 'retry-after': '1' }).end();
    });
    const task = await startTask(db, outbox, webhookTo(receiver.url));
    await task.claim();
    await receiver.count(2);
    assert.ok(receiver.received[1]!.at - receiver.received[0]!.at >= 1_000);
    await waitForDeliveries(db, task.taskId);
    assert.deepEqual(receiver.events(), [1, 1, 2]);
  });

  test('records an error and sends nothing when secrets cannot be decrypted', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.5, 0.01] });
    const task = await startTask(db, undefined, webhookTo(receiver.url, { token: 'x' }));
    const moved = await startTask(db, undefined, webhookTo(receiver.url, { token: 'y' }));
    const { token } = await readConfig(db, moved.taskId);
    await db.updateTable('webhook_configs').set({ token }).where('task_id', '=', task.taskId).execute();
    outbox.publish([{ id: '0', kind: 'delivery', taskId: task.taskId, configId: 'hook', dueAt: new Date() }]);
    await waitFor('an attempt', async () => (await readAttempts(db, task.taskId)).length > 0);
    assert.match((await readAttempts(db, task.taskId))[0]!.error!, /altered, moved/);
    assert.equal(receiver.received.length, 0);
  });

  test('answers 503 with Retry-After when the database is unreachable', { timeout }, async (t) => {
    const own = await createTestDatabase();
    const { db: lost } = openTestPool(own.url);
    t.after(() => lost.destroy());
    const { app } = await startDispatchers(t, lost, 1);
    const ready = () => app.inject('/health/ready').then(({ statusCode }) => statusCode);
    assert.equal(await ready(), 200);
    await own.close();
    const { statusCode, headers } = await callDeliver(app, uuidv7());
    assert.deepEqual([statusCode, headers['retry-after']], [503, '5']);
    // The answer is cached for a second.
    await waitFor('the dispatcher not to be ready', async () => (await ready()) === 503, { everyMs: 100 });
    assert.equal((await app.inject('/health/live')).statusCode, 200);
    assert.equal((await callDeliver(app, 'not an id')).statusCode, 400);
  });
});

describe('a receiver that is back', () => {
  /** Starts tasks whose first webhooks fail, and waits until they wait for their retries. */
  async function startFailing(t: TestContext, count: number) {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 600, 600] });
    receiver.answer(500);
    const start = () => startTask(db, outbox, webhookTo(receiver.url));
    const tasks = await Promise.all(Array.from({ length: count }, start));
    const taskIds = tasks.map(({ taskId }) => taskId);
    await waitFor('the attempts', async () => (await readAttempts(db, ...taskIds)).length === count);
    return { receiver, start, taskIds };
  }

  test('gets the webhooks that wait for a retry once it accepts another', { timeout }, async (t) => {
    const { receiver, start, taskIds } = await startFailing(t, 8);
    receiver.answer(200);
    const { taskId } = await start();
    for (const id of [taskId, ...taskIds]) await waitForDeliveries(db, id);
    assert.deepEqual(await readStates(db, taskIds[0]!), [[1, 'delivered', 2]]);
  });

  test('gets a webhook that it refuses again by the schedule, once in a while', { timeout }, async (t) => {
    const { receiver, start, taskIds } = await startFailing(t, 1);
    const [refused = ''] = taskIds;
    receiver.answerBy(({ headers }) => (headers['longhaul-task-id'] === refused ? 500 : 200));
    for (let accepted = 0; accepted < 3; accepted += 1) await waitForDeliveries(db, (await start()).taskId);
    await waitFor('the additional attempt', async () => (await readAttempts(db, refused)).length === 2);
    await waitForDeliveries(db, (await start()).taskId);
    const { attempts, failures, due_at } = await db
      .selectFrom('deliveries')
      .selectAll()
      .where('task_id', '=', refused)
      .executeTakeFirstOrThrow();
    assert.deepEqual({ attempts, failures }, { attempts: 2, failures: 1 });
    assert.ok(due_at.getTime() > Date.now() + 500_000, 'it waits as long as before');
  });

  test(
    'gets a webhook that found its host busy, unless it has named a time since',
    { timeout },
    async (t) => {
      const { taskIds } = await startFailing(t, 2);
      const configs = await db
        .selectFrom('webhook_configs')
        .selectAll()
        .where('task_id', 'in', taskIds)
        .execute();
      const keys = configs.map(({ task_id: taskId, id: configId }) => ({ taskId, configId, seq: 1 }));
      assert.deepEqual(await bringForward(db, 60, keys, 'host_busy'), []);
      const [busy = ''] = taskIds;
      await db
        .updateTable('deliveries')
        .set({ deferred_reason: 'host_busy' })
        .where('task_id', '=', busy)
        .execute();
      const wakeups = await bringForward(db, 60, keys, 'host_busy');
      assert.deepEqual(
        wakeups.map(({ taskId }) => taskId),
        [busy],
      );
    },
  );

  test('does not get a webhook before the time that it has named', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 60] });
    const start = () => startTask(db, outbox, webhookTo(receiver.url));
    receiver.answerBy((_request, response) => void response.writeHead(503, { 'retry-after': '60' }).end());
    const asked = await start();
    await waitFor('the attempt', async () => (await readAttempts(db, asked.taskId)).length === 1);
    receiver.answer(200);
    await waitForDeliveries(db, (await start()).taskId);
    assert.deepEqual(await readStates(db, asked.taskId), [[1, 'pending', 1]]);
  });
});
