/** The short form of `npm run chaos`: a few seconds of all faults, without lost or repeated work. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mustBeEmpty } from '../../tools/chaos/check.ts';
import { formatReport } from '../../tools/chaos/report.ts';
import { runChaos } from '../../tools/chaos/run.ts';

test('completes and reports every accepted task exactly once under faults', async (t) => {
  const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
  const result = await runChaos({
    seed,
    seconds: 8,
    tasksPerSecond: 4,
    quietSeconds: 60,
    faultEveryMs: 500,
    modelFails: false,
  });
  t.diagnostic(formatReport([result]));
  assert.ok(result.accepted.length > 0, 'no task was accepted');
  assert.ok(result.faults.length > 0, 'no fault was caused');
  for (const name of mustBeEmpty) assert.deepEqual(result.findings[name], [], name);
});
