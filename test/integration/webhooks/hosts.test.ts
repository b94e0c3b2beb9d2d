/** Fairness between receivers: what one host does costs the others nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostLimits } from '#services/dispatcher/hosts.ts';
import { attemptsOf } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { openTestDatabase, startTask, until, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const db = await openTestDatabase();

for (const ordered of [true, false]) {
  test(
    `a host has so many attempts at a time, and what is put off is no attempt (${ordered ? 'ordered' : 'fast'})`,
    { timeout },
    async (t) => {
      const receiver = await startReceiver(t);
      const { outbox } = await startDispatchers(t, db, 1, { hostConcurrency: 3 });
      let [inFlight, most] = [0, 0];
      const release = Promise.withResolvers<void>();
      receiver.answerBy(async () => {
        most = Math.max(most, (inFlight += 1));
        await release.promise;
        inFlight -= 1;
        return 200;
      });
      const tasks = await Promise.all(
        Array.from({ length: 12 }, () => startTask(db, outbox, webhookTo(receiver.url, { ordered }))),
      );
      const taskIds = tasks.map(({ taskId }) => taskId);
      await receiver.count(3);
      // Those that found no place have a time of their own, and no attempt.
      await until(async () => {
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
      await until(async () => (await attemptsOf(db, ...taskIds)).length === 12);
      assert.equal(most, 3);
      assert.ok(
        (await attemptsOf(db, ...taskIds)).every(({ attempt, status }) => attempt === 1 && status === 200),
      );
    },
  );
}

test('a host that keeps failing is probed, and is itself again after a success', async (t) => {
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
  assert.equal(await fail(3), 'acquired', 'what comes seldom by itself is not put off');
  const other = await hosts.acquire('other', 0);
  assert.equal(other.kind, 'acquired');
  now += 1_000;
  const probe = await hosts.acquire('down', 0);
  assert.ok(probe.kind === 'acquired');
  assert.equal(await fail(), 'deferred', 'one probe at a time');
  probe.release(true);
  for (let n = 0; n < 5; n++) assert.equal((await hosts.acquire('down', 0)).kind, 'acquired');
});

test('a place that becomes free goes to whoever waits first; nobody waits for long', async (t) => {
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
