/** Fairness between owners, hosts and receivers: a bad one does not delay the others (invariant 11). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Db } from '#shared/db/client/pool.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { newTask } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { waitFor } from '../../support/wait-for.ts';
import { readAttempts, waitForDeliveries } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { startTarpits } from '../../support/webhooks/tarpits.ts';
import { startTask, webhookTo } from '../../support/webhooks/webhooks.ts';
import { getPercentile } from '../../tools/percentile.ts';

const timeout = 60_000;
const { db } = await connectToTestDatabase();

/** Attempts without a slot have a wake-up of their own. */
async function waitForPublication(db: Db, taskIds: readonly string[]): Promise<void> {
  await waitFor('all wake-ups to be published', async () => {
    const { count } = await db
      .selectFrom('outbox')
      .select(({ fn }) => fn.countAll<string>().as('count'))
      .where('task_id', 'in', taskIds)
      .executeTakeFirstOrThrow();
    return Number(count) === 0;
  });
}

describe('fairness between receivers', () => {
  for (const ordered of [true, false]) {
    test(
      `limits the attempts at a receiver without counting deferrals (${ordered ? 'ordered' : 'unordered'})`,
      { timeout },
      async (t) => {
        const receiver = await startReceiver(t);
        const { outbox } = await startDispatchers(t, db, 1, { receiverConcurrency: 3 });
        let [running, most] = [0, 0];
        const release = Promise.withResolvers<void>();
        receiver.answerBy(async () => {
          most = Math.max(most, (running += 1));
          await release.promise;
          running -= 1;
          return 200;
        });
        const tasks = await Promise.all(
          Array.from({ length: 12 }, () => startTask(db, outbox, webhookTo(receiver.url, { ordered }))),
        );
        const taskIds = tasks.map(({ taskId }) => taskId);
        await receiver.count(3);
        await waitForPublication(db, taskIds);
        assert.equal(receiver.received.length, 3);
        release.resolve();
        await receiver.count(12);
        await waitFor('12 attempts', async () => (await readAttempts(db, ...taskIds)).length === 12);
        assert.equal(most, 3);
        assert.ok(
          (await readAttempts(db, ...taskIds)).every(
            ({ attempt, status }) => attempt === 1 && status === 200,
          ),
        );
      },
    );
  }

  test('delivers to a good receiver next to a failing one on the same host', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.05, 600] });
    receiver.answerBy(({ path }) => (path === '/hook' ? 200 : 500));
    const startBad = () =>
      Promise.all(Array.from({ length: 10 }, () => startTask(db, outbox, webhookTo(`${receiver.url}/bad`))));
    await startBad();
    await receiver.count(10);
    const start = performance.now();
    const [task] = await Promise.all([startTask(db, outbox, webhookTo(receiver.url)), startBad()]);
    await waitForDeliveries(db, task.taskId);
    // A deferral at a receiver that keeps failing takes 15 s or more.
    assert.ok(performance.now() - start < 10_000);
  });
});

describe('fairness between owners', () => {
  test('delivers for one owner while another has hundreds of tarpits', { timeout }, async (t) => {
    const [receiver, tarpits] = [await startReceiver(t), await startTarpits(t, 51)];
    const { outbox, calls } = await startDispatchers(t, db, 1);
    /** Sends webhooks one after the other, and returns the milliseconds until each arrives. */
    const measure = async (count: number): Promise<number[]> => {
      const times: number[] = [];
      for (let n = 0; n < count; n++) {
        const start = performance.now();
        const before = receiver.received.length;
        await startTask(db, outbox, webhookTo(receiver.url), 'bystander');
        await receiver.count(before + 1);
        times.push(performance.now() - start);
      }
      return times.toSorted((a, b) => a - b);
    };
    await measure(5);
    const alone = await measure(50);
    const accept = createAccept(db, { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 });
    const hoarded = Array.from({ length: 1_100 }, async (_, n) => {
      const webhook = webhookTo(`${tarpits.urls[n % tarpits.urls.length]}/${n}`);
      const task = newTask({ owner: 'hoarder', webhook });
      outbox.publish((await accept(task)) ?? []);
      return task.taskId;
    });
    // Those that hang at tarpits have no further wake-up, and the others one for later.
    const taskIds = await Promise.all(hoarded);
    await waitForPublication(db, taskIds);
    await waitFor('each to hang or be deferred', async () => {
      const untried = db.selectFrom('deliveries').where('lease_until', 'is', null);
      const { count } = await untried
        .where('deferred_reason', 'is', null)
        .where('state', '=', 'pending')
        .where('task_id', 'in', taskIds)
        .select(({ fn }) => fn.countAll<string>().as('count'))
        .executeTakeFirstOrThrow();
      return Number(count) === 0;
    });
    const hanging = tarpits.requests();
    assert.ok(hanging >= 20 && hanging <= 80, `${hanging} attempts hang`);
    const beside = await measure(50);
    const [p99Alone = 0, p99 = 0] = [getPercentile(alone, 0.99), getPercentile(beside, 0.99)];
    t.diagnostic(
      `p99 ${p99Alone.toFixed(0)} ms alone, ${p99.toFixed(0)} ms next to ${hanging} hanging attempts; ${calls()} calls`,
    );
    // An attempt at a tarpit takes 15 s.
    assert.ok(p99 < 7_500, `${p99} ms`);
  });
});
