/** One owner next to a hostile one, on the whole system. `npm run load -- neighbours` measures all of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operations } from '../../tools/load/neighbours/samples.ts';
import { runScenario } from '../../tools/load/neighbours/scenario.ts';
import { findExceeded } from '../../tools/load/neighbours/verdict.ts';

/** Wrong API keys and readiness probes. */
const row = 11;

test('serves an owner next to one without valid keys', { timeout: 150_000 }, async (t) => {
  const result = await runScenario({
    rows: [row],
    warmUpSeconds: 1,
    aloneSeconds: 1,
    hostileSeconds: 2,
    rate: 5,
    env: {},
  });
  t.diagnostic(JSON.stringify(result));
  const { alone, hostile } = result.good.phases;
  for (const phase of [alone, hostile]) {
    for (const operation of operations) assert.ok(phase.latencies[operation].count > 0, operation);
  }
  assert.ok((result.counts[row]?.['wrong keys'] ?? 0) > 0);
  // So few latencies prove nothing, so the bounds of the p99 are not checked here.
  assert.deepEqual(
    findExceeded(result).filter((exceeded) => !exceeded.startsWith('p99')),
    [],
  );
});
