/**
 * Good receivers next to receivers that misbehave in every known way (invariant 11). `npm run zoo` runs a
 * larger zoo.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startStack } from '../../support/stack.ts';
import { eventsPerTask, runZoo } from '../../tools/zoo/run.ts';

describe('webhook zoo', () => {
  test('delivers to good receivers in time despite bad ones', { timeout: 150_000 }, async (t) => {
    const stack = await startStack(t, {
      WEBHOOK_TIMEOUT_SECONDS: '10',
      WEBHOOK_SCHEDULE_SECONDS: '0,0.5,60',
    });
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
    const figures = await runZoo(t, stack, {
      receivers,
      tasksPerReceiver,
      tasksPerSecond: 40,
      boundMs: 60_000,
    });
    t.diagnostic(JSON.stringify(figures));
    assert.deepEqual([figures.arrived, figures.outOfOrder], [figures.events, 0]);
    assert.equal(figures.events, 4 * tasksPerReceiver * eventsPerTask);
    // A delivery that had to wait for a hanging receiver would take 10 s.
    assert.ok(figures.p99 < 8_000, `p99 was ${figures.p99} ms`);
    const { gone, hanging, redirecting, busy } = figures.kinds;
    // Each config is disabled by its first 410. The run ends with the good receivers, which wait for none of
    // these.
    const { requests: goneRequests = 0 } = gone ?? {};
    assert.ok(goneRequests > 0 && goneRequests <= tasksPerReceiver, `${goneRequests} requests after a 410`);
    assert.ok((hanging?.requests ?? 0) <= 2 * tasksPerReceiver);
    assert.equal(redirecting?.accepted, 0);
    assert.ok((busy?.requests ?? 0) > 0);
  });
});
