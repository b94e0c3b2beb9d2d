/** More model calls than a minute allows, and a model that refuses a third of them. `npm run load` is the long form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRefusingResponder } from '../../tools/load/responders.ts';
import { runLoad } from '../../tools/load/run.ts';

test('completes all tasks without bursts when the model lacks quota', { timeout: 120_000 }, async (t) => {
  const tasks = 40;
  const requestsPerMinute = 300;
  const result = await runLoad(t, {
    tasks,
    workers: 2,
    concurrency: 100,
    requestsPerMinute,
    responder: createRefusingResponder({ share: 1 / 3, maxInARow: 2 }),
    boundMs: 100_000,
  });
  t.diagnostic(JSON.stringify(result));
  assert.deepEqual([result.completed, result.answered], [tasks, tasks]);
  assert.ok(result.refused > tasks / 6);
  assert.ok(result.parked > 0, 'more tasks wait than a worker holds');
  assert.ok(result.answeredPerMinute < requestsPerMinute * 1.25);
  // Refused calls are repeated, and saved quota may be spent at once.
  assert.ok(result.busiestSecond < 35, `${result.busiestSecond} calls in a second`);
});
