/** More model calls than a minute allows, and a model that refuses a third of them. `npm run load` is the long form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusing } from '../tools/load/brains.ts';
import { runLoad } from '../tools/load/run.ts';

test(
  'completes all tasks without bursts of calls when the model is short of quota',
  { timeout: 120_000 },
  async (t) => {
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
    assert.ok(figures.parked > 0, 'more tasks wait than a worker holds');
    assert.ok(figures.answeredPerMinute < requestsPerMinute * 1.25);
    // Refused calls are repeated, and saved quota may be spent at once.
    assert.ok(figures.busiestSecond < 35, `${figures.busiestSecond} calls in a second`);
  },
);
