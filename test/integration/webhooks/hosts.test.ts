/** Fairness between receivers: a bad host does not delay the others (invariant 11). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HostLimits } from '#services/dispatcher/hosts.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { waitFor } from '../../support/wait-for.ts';
import { readAttempts } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const { db } = await connectToTestDatabase();

describe('fairness between hosts', () => {
  for (const ordered of [true, false]) {
    test(
      `limits the attempts at a host without counting deferrals (${ordered ? 'ordered' : 'unordered'})`,
      { timeout },
      async (t) => {
        const receiver = await startReceiver(t);
        const { outbox } = await startDispatchers(t, db, 1, { hostConcurrency: 3 });
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
        // Attempts without a slot have a wake-up of their own.
        await waitFor('all wake-ups to be published', async () => {
          const { count } = await db
            .selectFrom('outbox')
            .select(({ fn }) => fn.countAll<string>().as('count'))
            .where('task_id', 'in', taskIds)
            .executeTakeFirstOrThrow();
          return Number(count) === 0;
        });
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

  test('probes a host that keeps failing, until an attempt succeeds', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const hosts = new HostLimits(20);
    const fail = async (failedBefore = 0) => {
      const entry = await hosts.acquire('down', failedBefore);
      if (entry.kind === 'acquired') entry.release(false);
      return entry.kind;
    };
    for (let n = 0; n < 10; n++) assert.equal(await fail(), 'acquired');
    assert.equal(await fail(), 'deferred');
    now += 1_000;
    assert.equal(await fail(), 'acquired');
    assert.equal(await fail(), 'deferred');
    assert.equal(await fail(3), 'acquired', 'a delivery that failed often is not deferred');
    const other = await hosts.acquire('other', 0);
    assert.equal(other.kind, 'acquired');
    now += 1_000;
    const probe = await hosts.acquire('down', 0);
    assert.ok(probe.kind === 'acquired');
    assert.equal(await fail(), 'deferred', 'one probe at a time');
    probe.release(true);
    for (let n = 0; n < 5; n++) assert.equal((await hosts.acquire('down', 0)).kind, 'acquired');
  });

  test('assigns a free slot to the first waiter, and defers the next after a second', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const hosts = new HostLimits(1);
    const first = await hosts.acquire('busy', 0);
    const order: string[] = [];
    const enter = async (name: string) => {
      const entry = await hosts.acquire('busy', 0);
      order.push(`${name} ${entry.kind}`);
      return entry;
    };
    const [second, third] = [enter('second'), enter('third')];
    assert.ok(first.kind === 'acquired');
    first.release(true);
    const entered = await second;
    assert.deepEqual(order, ['second acquired']);
    t.mock.timers.tick(1_000);
    const late = await third;
    assert.deepEqual(order, ['second acquired', 'third deferred']);
    assert.ok(late.kind === 'deferred' && late.delaySeconds >= 0.25 && late.delaySeconds <= 30);
    assert.ok(entered.kind === 'acquired');
    entered.release(true);
    assert.equal((await enter('fourth')).kind, 'acquired');
  });
});
