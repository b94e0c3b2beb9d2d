/** Receivers that misbehave in every known way, beside some that do not (invariant 11). `npm run zoo` is the larger one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startStack } from '../support/stack.ts';
import { eventsPerTask, runZoo } from '../tools/zoo/run.ts';

test('bad receivers cost the good ones nothing', { timeout: 150_000 }, async (t) => {
  const stack = await startStack(t, { WEBHOOK_TIMEOUT_SECONDS: '10', WEBHOOK_SCHEDULE_SECONDS: '0,0.5,60' });
  await stack.start('dispatcher');
  const tasksPerReceiver = 6;
  const receivers = {
    good: 4,
    slow: 1,
    hanging: 1,
    closing: 1,
    breaking: 1,
    endless: 1,
    redirecting: 1,
    gone: 1,
    busy: 1,
    flapping: 1,
    'not-tls': 1,
  };
  const seen = await runZoo(t, stack, { receivers, tasksPerReceiver, tasksPerSecond: 40, boundMs: 60_000 });
  t.diagnostic(JSON.stringify(seen));
  assert.deepEqual([seen.arrived, seen.outOfOrder], [seen.events, 0]);
  assert.equal(seen.events, 4 * tasksPerReceiver * eventsPerTask);
  // Whoever waits for a hanging receiver waits 10 s.
  assert.ok(seen.p99 < 8_000, `p99 was ${seen.p99} ms`);
  const { gone, hanging, redirecting, busy } = seen.kinds;
  // Each config ends with its first 410; the run ends with the good ones, who wait for none of these.
  const { requests: askedGone = 0 } = gone ?? {};
  assert.ok(askedGone > 0 && askedGone <= tasksPerReceiver, `${askedGone} requests to who is gone`);
  assert.ok((hanging?.requests ?? 0) <= 2 * tasksPerReceiver);
  assert.equal(redirecting?.taken, 0);
  assert.ok((busy?.requests ?? 0) > 0);
});
