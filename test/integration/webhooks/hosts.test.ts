/** Fairness between receivers: what one host does costs the others nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Hosts } from '#services/dispatcher/hosts.ts';
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
  const hosts = new Hosts(20);
  const fail = async (failedBefore = 0) => {
    const entry = await hosts.enter('down', failedBefore);
    if (entry.kind === 'entered') entry.leave(false);
    return entry.kind;
  };
  for (let n = 0; n < 10; n++) assert.equal(await fail(), 'entered');
  assert.equal(await fail(), 'put off');
  now += 1_000;
  assert.equal(await fail(), 'entered');
  assert.equal(await fail(), 'put off');
  assert.equal(await fail(3), 'entered', 'what comes seldom by itself is not put off');
  const other = await hosts.enter('other', 0);
  assert.equal(other.kind, 'entered');
  now += 1_000;
  const probe = await hosts.enter('down', 0);
  assert.ok(probe.kind === 'entered');
  assert.equal(await fail(), 'put off', 'one probe at a time');
  probe.leave(true);
  for (let n = 0; n < 5; n++) assert.equal((await hosts.enter('down', 0)).kind, 'entered');
});

test('a place that becomes free goes to whoever waits first; nobody waits for long', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const hosts = new Hosts(1);
  const first = await hosts.enter('busy', 0);
  const order: string[] = [];
  const enter = async (name: string) => {
    const entry = await hosts.enter('busy', 0);
    order.push(`${name} ${entry.kind}`);
    return entry;
  };
  const [second, third] = [enter('second'), enter('third')];
  assert.ok(first.kind === 'entered');
  first.leave(true);
  const entered = await second;
  assert.deepEqual(order, ['second entered']);
  t.mock.timers.tick(1_000);
  const late = await third;
  assert.deepEqual(order, ['second entered', 'third put off']);
  assert.ok(late.kind === 'put off' && late.delaySeconds >= 0.25 && late.delaySeconds <= 30);
  assert.ok(entered.kind === 'entered');
  entered.leave(true);
  assert.equal((await enter('fourth')).kind, 'entered');
});
