/** Unordered configs: no event waits for another. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { putWebhookConfig } from '#shared/db/webhooks/configs.ts';
import { encryptSecrets } from '#shared/webhooks/secrets.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { waitFor } from '../../support/wait-for.ts';
import { readConfig, readStates, waitForDeliveries } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { caller, encryptor, startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const { db } = await connectToTestDatabase();

const unorderedWebhookTo = (url: string) => webhookTo(url, { ordered: false, events: 'all' });

describe('unordered webhooks', () => {
  test('delivers other events while one fails or hangs', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 2, { schedule: [0, 0.2, 0.2], timeoutMs: 10_000 });
    const hang = Promise.withResolvers<number>();
    let refusals = 2;
    receiver.answerBy(({ headers }) => {
      const event = Number(headers['longhaul-event']);
      if (event === 1) return hang.promise;
      return event === 2 && refusals-- > 0 ? 500 : 200;
    });
    const task = await startTask(db, outbox, unorderedWebhookTo(receiver.url));
    await receiver.count(1);
    await task.claim();
    await task.progress(30);
    await task.end('TASK_STATE_COMPLETED');
    await waitFor('every event but the first to be delivered', async () =>
      (await readStates(db, task.taskId)).every(([seq, state]) => seq === 1 || state === 'delivered'),
    );
    hang.resolve(200);
    await waitForDeliveries(db, task.taskId);
    const states = await readStates(db, task.taskId);
    assert.deepEqual(
      states,
      Array.from({ length: 33 }, (_, index) => [index + 1, 'delivered', index === 1 ? 3 : 1]),
    );
    assert.equal(receiver.received.length, 35);
  });

  test('disables the config when the schedule of one event is used up', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.02] });
    receiver.answerBy(() => 503);
    const task = await startTask(db, outbox, unorderedWebhookTo(receiver.url));
    await waitForDeliveries(db, task.taskId);
    assert.deepEqual(await readStates(db, task.taskId), [[1, 'failed', 2]]);
    assert.match((await readConfig(db, task.taskId)).disabled_reason!, /2 attempts in a row have failed/);
  });

  test('retries at once when the config is replaced during attempts', { timeout }, async (t) => {
    const [before, after] = [await startReceiver(t), await startReceiver(t)];
    const { outbox } = await startDispatchers(t, db, 1);
    const hang = Promise.withResolvers<number>();
    before.answerBy(() => hang.promise);
    const task = await startTask(db, outbox, unorderedWebhookTo(before.url));
    await task.claim();
    await before.count(2);
    const hook = encryptSecrets(encryptor, task.taskId, unorderedWebhookTo(after.url));
    const result = await putWebhookConfig(
      db,
      { wakeupGraceSeconds: 10, webhookRequestsPerMinute: 0 },
      caller,
      task.taskId,
      hook,
    );
    outbox.publish(result.kind === 'stored' ? result.wakeups : []);
    await after.count(2);
    hang.resolve(500);
    await waitForDeliveries(db, task.taskId);
    assert.deepEqual(
      after.events().toSorted((a, b) => a - b),
      [1, 2],
    );
    assert.deepEqual(
      (await readStates(db, task.taskId)).map(([, state]) => state),
      ['delivered', 'delivered'],
    );
  });

  test('repeats an attempt of a dispatcher that died', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox, app } = await startDispatchers(t, db, 1, { graceSeconds: 1 });
    const task = await startTask(db, undefined, unorderedWebhookTo(receiver.url));
    await db
      .updateTable('deliveries')
      .set({ attempts: 1, fence: 1, lease_until: new Date(Date.now() + 500), wakeup_at: new Date(0) })
      .where('task_id', '=', task.taskId)
      .execute();
    await db.deleteFrom('outbox').where('task_id', '=', task.taskId).execute();
    await waitFor('another attempt', async () => {
      const { statusCode, body } = await app.inject({ method: 'POST', url: '/reconcile' });
      assert.equal(statusCode, 204, body);
      await outbox.idle();
      return receiver.received.length > 0;
    });
    await waitForDeliveries(db, task.taskId);
    assert.deepEqual(await readStates(db, task.taskId), [[1, 'delivered', 2]]);
  });
});
