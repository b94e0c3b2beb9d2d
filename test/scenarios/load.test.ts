/** More calls than a minute allows, to a model that refuses a third of them. `npm run load` is the larger one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusing } from '../tools/load/brains.ts';
import { runLoad } from '../tools/load/run.ts';

test('no task fails, and there is no storm of calls', { timeout: 120_000 }, async (t) => {
  const tasks = 40;
  const requestsPerMinute = 300;
  const figures = await runLoad(t, {
    tasks,
    workers: 2,
    concurrency: 100,
    requestsPerMinute,
    responder: refusing({ share: 1 / 3, inARow: 2 }),
    boundMs: 100_000,
  });
  t.diagnostic(JSON.stringify(figures));
  assert.deepEqual([figures.completed, figures.answered], [tasks, tasks]);
  assert.ok(figures.refused > tasks / 6);
  assert.ok(figures.parked > 0, 'more wait than may wait in place');
  assert.ok(figures.answeredPerMinute < requestsPerMinute * 1.25);
  // Who was refused comes again, and what was saved may be spent.
  assert.ok(figures.busiestSecond < 35, `${figures.busiestSecond} calls in a second`);
});
