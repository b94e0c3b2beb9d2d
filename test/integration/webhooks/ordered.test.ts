/** Ordered configs: one attempt at a time, in the order of the events. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sql } from 'kysely';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { waitFor } from '../../support/wait-for.ts';
import { waitForDeliveries } from '../../support/webhooks/deliveries.ts';
import { callDeliver, startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const { db } = await connectToTestDatabase();

describe('ordered webhooks', () => {
  test(
    'delivers an event created during an attempt directly after it, without a wake-up',
    { timeout },
    async (t) => {
      const receiver = await startReceiver(t);
      const { outbox, app } = await startDispatchers(t, db, 1);
      const release = Promise.withResolvers<number>();
      receiver.answerBy(() => release.promise);
      const task = await startTask(db, outbox, webhookTo(receiver.url));
      await receiver.count(1);
      await task.claim();
      await outbox.idle();
      const { statusCode } = await callDeliver(app, task.taskId);
      assert.equal(statusCode, 204);
      assert.equal(receiver.received.length, 1);
      release.resolve(200);
      await receiver.count(2);
      assert.deepEqual(receiver.events(), [1, 2]);
    },
  );

  for (const stops of [false, true]) {
    test(
      stops ? 'wakes the rest of the queue when the process stops' : 'delivers a whole queue in one call',
      { timeout },
      async (t) => {
        const receiver = await startReceiver(t);
        const stop = new AbortController();
        const options = { stopping: stop.signal };
        const { outbox, calls, inFlight } = await startDispatchers(t, db, 1, options);
        const release = Promise.withResolvers<number>();
        receiver.answerBy(() => release.promise);
        const task = await startTask(db, outbox, webhookTo(receiver.url, { events: 'all' }));
        await receiver.count(1);
        await task.claim();
        await task.progress(3);
        await outbox.idle();
        // The writes behind the first event had no wake-ups.
        await waitFor('the only call to be in flight', () => calls() === 1 && inFlight() === 1);
        if (stops) stop.abort();
        release.resolve(200);
        await waitForDeliveries(db, task.taskId);
        await outbox.idle();
        assert.deepEqual(receiver.events(), [1, 2, 3, 4, 5]);
        assert.equal(calls() - 1, stops ? 4 : 0);
      },
    );
  }

  test('locks a config before the deliveries that it wakes, as claims do', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const stop = new AbortController();
    const { outbox } = await startDispatchers(t, db, 1, { stopping: stop.signal });
    const release = Promise.withResolvers<number>();
    receiver.answerBy(() => release.promise);
    const { taskId, claim } = await startTask(db, outbox, webhookTo(receiver.url, { events: 'all' }));
    await receiver.count(1);
    await claim();
    stop.abort();
    await db.transaction().execute(async (trx) => {
      await sql`select from deliveries where task_id = ${taskId} and seq = 2 for update`.execute(trx);
      release.resolve(200);
      await waitFor('the wake-up to wait for the delivery', async () => {
        const { rows } = await sql`
          select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
            and query like '%update deliveries d set wakeup_at%'`.execute(db);
        return rows.length === 1;
      });
      const unlocked = sql`select from webhook_configs where task_id = ${taskId} for update skip locked`;
      assert.deepEqual((await unlocked.execute(db)).rows, []);
    });
    await waitForDeliveries(db, taskId);
    assert.deepEqual(receiver.events(), [1, 2]);
  });

  test('delivers each event once and in order when dispatchers race', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox, app } = await startDispatchers(t, db, 2);
    const task = await startTask(db, outbox, webhookTo(receiver.url, { events: 'all' }));
    await task.claim();
    const calls: Promise<unknown>[] = [];
    for (let round = 0; round < 10; round++) {
      await task.progress(4);
      for (let wakeup = 0; wakeup < 6; wakeup++) calls.push(callDeliver(app, task.taskId));
    }
    await task.end('TASK_STATE_COMPLETED');
    await receiver.count(43);
    await Promise.all(calls);
    await waitForDeliveries(db, task.taskId);
    assert.deepEqual(
      receiver.events(),
      Array.from({ length: 43 }, (_, index) => index + 1),
    );
  });

  test('delivers to other receivers while one is slow', { timeout }, async (t) => {
    const [slow, quick] = [await startReceiver(t), await startReceiver(t)];
    const { outbox } = await startDispatchers(t, db, 1);
    slow.answerBy(() => undefined);
    for (let index = 0; index < 20; index++) await startTask(db, outbox, webhookTo(slow.url));
    await slow.count(20);
    const task = await startTask(db, outbox, webhookTo(quick.url));
    await waitForDeliveries(db, task.taskId);
    assert.deepEqual(quick.events(), [1]);
  });
});
