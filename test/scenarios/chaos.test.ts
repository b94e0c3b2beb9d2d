/** The short form of `npm run chaos`: a few seconds of everything that can go wrong, and nothing lost or done twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mustBeEmpty } from '../tools/chaos/check.ts';
import { reportOf } from '../tools/chaos/report.ts';
import { runChaos } from '../tools/chaos/run.ts';

test('chaos: what was accepted is done, once, and told, whatever dies', async (t) => {
  const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
  const result = await runChaos({
    seed,
    seconds: 8,
    tasksPerSecond: 4,
    quietSeconds: 60,
    faultEveryMs: 500,
    modelFails: false,
  });
  t.diagnostic(reportOf([result]));
  assert.ok(result.accepted.length > 0, 'no task was accepted');
  assert.ok(result.faults.length > 0, 'nothing went wrong');
  for (const name of mustBeEmpty) assert.deepEqual(result.findings[name], [], name);
});
