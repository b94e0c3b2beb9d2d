/** Services on machines whose clocks are hours wrong, each in another direction. Times are by the database's clock. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { scheduleExtension } from '#services/api/extensions/schedule.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { isCompleted, startStack, type RunningService, type Stack } from '../../support/stack.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';

const preload = new URL('../../support/processes/shifted-clock.ts', import.meta.url).href;

function shiftClock(hours: number): Record<string, string> {
  return { NODE_OPTIONS: `--import=${preload}`, CLOCK_SHIFT_SECONDS: String(3600 * hours) };
}

/** More than the machines of the test differ, and than a webhook takes on a slow one. */
const toleranceMs = 60_000;

describe('services whose clocks are hours wrong', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let services: RunningService[];

  before(async () => {
    // The reconciler is too late to repair a retry that was scheduled for the wrong time.
    stack = await startStack(cleanup, { WEBHOOK_SCHEDULE_SECONDS: '0,3', WAKEUP_GRACE_SECONDS: '120' });
    services = await Promise.all([
      stack.start('api', shiftClock(3)),
      stack.start('worker', shiftClock(-3)),
      stack.start('dispatcher', shiftClock(3)),
    ]);
  });

  test('write times that only go forward within a task', async (t) => {
    const receiver = await startReceiver(t);
    const startedAt = Date.now();
    const task = await stack.submit('hello', {
      configuration: { taskPushNotificationConfig: { url: receiver.url } },
    });
    await stack.until(task.id, isCompleted);
    const events = await receiver.match(/TASK_STATE_COMPLETED/);
    const times = events.flatMap(({ body }) => /"timestamp":"([^"]+)"/.exec(body)?.[1] ?? []);
    assert.ok(times.length >= 3, times.join());
    assert.deepEqual(times, times.toSorted());
    for (const time of times) assert.ok(Math.abs(Date.parse(time) - startedAt) < toleranceMs, time);
    for (const { headers } of events) {
      const signedAt = 1000 * Number(headers['webhook-timestamp']);
      assert.ok(Math.abs(signedAt - startedAt) < toleranceMs, `signed at ${signedAt}`);
    }
  });

  test('retry a webhook when it is due', async (t) => {
    const receiver = await startReceiver(t);
    receiver.answer(503, 200);
    await stack.submit('hello', {
      configuration: { taskPushNotificationConfig: { url: receiver.url } },
    });
    const [first, second] = await receiver.count(2);
    const waitedMs = (second?.at ?? 0) - (first?.at ?? 0);
    assert.ok(waitedMs > 2_900 && waitedMs < toleranceMs, `retried after ${waitedMs} ms`);
  });

  test('accept a deadline in a minute', async () => {
    const deadline = new Date(Date.now() + 60_000).toISOString();
    const { id } = await stack.submit('hello', { metadata: { [scheduleExtension]: { deadline } } });
    await stack.until(id, isCompleted);
  });

  test('log the difference once', () => {
    for (const { running } of services) {
      assert.equal(running.output().split('the clock of this machine is wrong').length - 1, 1);
    }
  });
});
