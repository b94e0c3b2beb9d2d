/** A caller with small requests cannot make the service send much to hosts that do not want it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { putWebhookConfig } from '#shared/db/webhooks/configs.ts';
import { deliverTest, listDeliveries, redeliver } from '#shared/db/webhooks/deliveries.ts';
import { TooManyWebhookRequestsError } from '#shared/db/webhooks/requests.ts';
import { addSentBytes, getHour, readSentBytes } from '#shared/db/webhooks/usage.ts';
import { freePort } from '../../support/network/ports.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { waitFor } from '../../support/wait-for.ts';
import { readAttempts, readDeliveries, waitForDeliveries } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver, type Receiver } from '../../support/webhooks/receiver.ts';
import { startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const { db } = await connectToTestDatabase();
const unlimited = { wakeupGraceSeconds: 10, webhookRequestsPerMinute: 0 };

/** Creates an ended task with an artifact, whose size is that of its last webhook. */
async function createEndedTask(owner: string, artifactBytes: number) {
  const task = await startTask(db, undefined, undefined, owner);
  await task.claim();
  await task.artifact({ artifactId: 'a', parts: [{ text: 'x'.repeat(artifactBytes) }] });
  await task.end('TASK_STATE_COMPLETED');
  return { tenant: '', owner, taskId: task.taskId };
}

const sum = ({ received }: Receiver) =>
  received.reduce((bytes, { body }) => bytes + Buffer.byteLength(body), 0);

describe('amplification', () => {
  test('sends few full bodies to a host that answers 404', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.02, 0.02] });
    receiver.answer(404);
    const { taskId, ...caller } = await createEndedTask('attacker', 1_000_000);
    for (let n = 0; n < 20; n++) {
      const config = webhookTo(`${receiver.url}/${n}`, { id: `hook${n}` });
      const put = await putWebhookConfig(db, unlimited, caller, taskId, config);
      outbox.publish(put.kind === 'stored' ? put.wakeups : []);
    }
    await waitForDeliveries(db, taskId);
    assert.equal(receiver.received.length, 60);
    const bytes = sum(receiver);
    t.diagnostic(`${bytes} bytes in ${receiver.received.length} requests`);
    assert.ok(bytes < 6_000_000, `${bytes} bytes`);
    assert.equal(receiver.received.at(-1)?.headers['longhaul-truncated'], 'true');
  });

  test('sends full bodies to a host that accepts them', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1);
    const { taskId, ...caller } = await createEndedTask('customer', 1_000_000);
    for (let n = 0; n < 10; n++) {
      const put = await putWebhookConfig(db, unlimited, caller, taskId, webhookTo(receiver.url));
      outbox.publish(put.kind === 'stored' ? put.wakeups : []);
      const test = await deliverTest(db, unlimited, caller, { taskId, configId: 'hook' });
      outbox.publish(test.kind === 'scheduled' ? test.wakeups : []);
      await waitForDeliveries(db, taskId);
      await db.updateTable('deliveries').set({ state: 'failed' }).where('task_id', '=', taskId).execute();
    }
    assert.ok(sum(receiver) > 10_000_000);
    assert.ok(receiver.received.every(({ headers }) => headers['longhaul-truncated'] === undefined));
  });

  test('sends full bodies to a host that has not answered the first yet', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1);
    const { taskId, ...caller } = await createEndedTask('new', 1_000_000);
    const puts = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        putWebhookConfig(
          db,
          unlimited,
          caller,
          taskId,
          webhookTo(`${receiver.url}/${n}`, { id: `hook${n}` }),
        ),
      ),
    );
    outbox.publish(puts.flatMap((put) => (put.kind === 'stored' ? put.wakeups : [])));
    await waitForDeliveries(db, taskId);
    assert.equal(receiver.received.length, 10);
    assert.ok(receiver.received.every(({ headers }) => headers['longhaul-truncated'] === undefined));
  });

  test('limits the requests for webhooks of an owner over all processes', async () => {
    const options = { wakeupGraceSeconds: 10, webhookRequestsPerMinute: 60 };
    const tasks = await Promise.all(Array.from({ length: 5 }, () => createEndedTask('eager', 10)));
    for (const { taskId, ...caller } of tasks) {
      await putWebhookConfig(db, unlimited, caller, taskId, webhookTo('http://127.0.0.1:1/'));
    }
    const start = performance.now();
    const calls = Array.from({ length: 80 }, (_, n) => {
      const { taskId, ...caller } = tasks[n % 5]!;
      return deliverTest(db, options, caller, { taskId, configId: 'hook' });
    });
    const results = await Promise.allSettled(calls);
    const seconds = (performance.now() - start) / 1000;
    const made = results.filter(({ status }) => status === 'fulfilled').length;
    assert.ok(made >= 30 && made <= 31 + seconds, `${made} calls in ${seconds} s`);
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      assert.ok(result.reason instanceof TooManyWebhookRequestsError, String(result.reason));
      assert.ok(result.reason.retryAfterSeconds >= 1 && result.reason.retryAfterSeconds <= 60);
    }
    const other = await createEndedTask('other', 10);
    const put = await putWebhookConfig(db, options, other, other.taskId, webhookTo('http://127.0.0.1:1/'));
    assert.equal(put.kind, 'stored');
  });

  test('postpones the webhooks of an owner whose bytes of the hour are used up', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 2, { bytesPerHour: 1_000_000 });
    const before = Date.now();
    // Another dispatcher has sent these.
    const used = { hour: getHour(Date.now()), bytes: 1_000_000 };
    await addSentBytes(db, [{ owner: 'heavy', ...used }]);
    const heavy = await startTask(db, outbox, webhookTo(receiver.url), 'heavy');
    const light = await startTask(db, outbox, webhookTo(receiver.url), 'light');
    await waitForDeliveries(db, light.taskId);
    const [postponed] = await waitFor('a deferral', async () => {
      const deliveries = await readDeliveries(db, heavy.taskId);
      return deliveries[0]?.deferred_reason === null ? undefined : deliveries;
    });
    assert.deepEqual([postponed?.state, postponed?.attempts], ['pending', 0]);
    const postponedMs = postponed!.due_at.getTime() - before;
    assert.ok(postponedMs > 0 && postponedMs < 330_000, `${postponedMs} ms`);
    const page = await listDeliveries(
      db,
      { tenant: '', owner: 'heavy' },
      { taskId: heavy.taskId, configId: 'hook' },
      { size: 1 },
    );
    assert.deepEqual(page?.deliveries[0]?.due, {
      at: postponed!.due_at,
      deferredReason: 'bytes_used_up',
    });
    assert.equal(receiver.received.length, 1);
  });

  test('adds up what several dispatchers have sent for an owner', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 3, { bytesPerHour: 1_000_000 });
    await Promise.all(
      Array.from({ length: 20 }, () => startTask(db, outbox, webhookTo(receiver.url), 'counted')),
    );
    await receiver.count(20);
    await waitFor('the sum of all bodies', async () => {
      const rows = await db
        .selectFrom('webhook_usage')
        .select('bytes')
        .where('owner', '=', 'counted')
        .execute();
      return rows.reduce((bytes, row) => bytes + Number(row.bytes), 0) === sum(receiver);
    });
  });

  test('counts no body for a receiver that cannot be connected to', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { bytesPerHour: 1_000_000, schedule: [0, 600] });
    const closed = await freePort();
    const { taskId } = await startTask(db, outbox, webhookTo(`http://127.0.0.1:${closed}/`), 'unconnected');
    await waitFor('a failed attempt', async () => (await readAttempts(db, taskId)).length > 0);
    await startTask(db, outbox, webhookTo(receiver.url), 'unconnected');
    await receiver.count(1);
    const bytes = await waitFor('the sum of all bodies', async () => {
      const stored = await readSentBytes(db, 'unconnected', getHour(Date.now()));
      return stored > 0 && stored;
    });
    assert.equal(bytes, sum(receiver));
  });

  test('sends a thin body after a response 413', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1);
    receiver.answerBy(({ body }) => (body.length > 10_000 ? 413 : 200));
    const { taskId, ...caller } = await createEndedTask('small', 100_000);
    const put = await putWebhookConfig(db, unlimited, caller, taskId, webhookTo(receiver.url));
    outbox.publish(put.kind === 'stored' ? put.wakeups : []);
    await waitForDeliveries(db, taskId);
    assert.deepEqual(
      (await readAttempts(db, taskId)).map(({ status }) => status),
      [413, 200],
    );
    const [first, second] = receiver.received;
    assert.ok(first!.body.length > 100_000 && second!.body.length < 4_096);
    assert.equal(second!.headers['longhaul-truncated'], 'true');
    assert.equal(first!.headers['webhook-id'], second!.headers['webhook-id']);

    receiver.answer(200);
    const [delivery] = await readDeliveries(db, taskId);
    const key = { taskId, configId: 'hook' };
    const again = await redeliver(db, unlimited, caller, key, { event: delivery!.seq });
    outbox.publish(again.kind === 'scheduled' ? again.wakeups : []);
    await receiver.count(3);
    assert.ok(receiver.received.at(-1)!.body.length > 100_000, 'a redelivery is full again');
  });
});
