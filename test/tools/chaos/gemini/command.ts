/**
 * `npm run chaos -- gemini [--kills 20] [--stream-kills 20] [--plans 3] [--days 1] [--batch 1000] [--runs 1000] [--seconds 60]`:
 * calls of the model at Google (the offline model) while processes die or days pass, and many calls at once with few slots. Exits
 * with 1 if a call was made or counted twice or found late, if text was lost or repeated, if webhooks are out of order, if a task
 * of a batch lacks its own result, or if calls that run hold slots, or cost transactions or connections.
 */
import { parseArgs } from 'node:util';
import { createCleanup } from '../../../support/cleanup.ts';
import { collectBatch } from './batches.ts';
import { planOverDays } from './days.ts';
import { measureIdleRuns } from './idle-runs.ts';
import { killDuringCalls } from './kills.ts';
import { planWhileKilled } from './plans.ts';
import { killDuringStream } from './stream.ts';

const parts = [
  { name: 'processes killed during a call', option: 'kills', run: killDuringCalls },
  { name: 'workers killed during a stream', option: 'stream-kills', run: killDuringStream },
  { name: 'plans with a change', option: 'plans', run: planWhileKilled },
  { name: 'plans over two days, on each plan of Google', option: 'days', run: planOverDays },
  { name: 'tasks in one batch', option: 'batch', run: collectBatch },
  { name: 'calls at once', option: 'runs', run: measureIdleRuns },
] as const;

export async function runGeminiCommand(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      kills: { type: 'string', default: '20' },
      'stream-kills': { type: 'string', default: '20' },
      plans: { type: 'string', default: '3' },
      days: { type: 'string', default: '1' },
      batch: { type: 'string', default: '1000' },
      runs: { type: 'string', default: '1000' },
      seconds: { type: 'string', default: '60' },
    },
  });
  const seconds = Number(values.seconds);
  const counts = parts.map(({ option }) => Number(values[option]));
  const valid = counts.every((count) => Number.isSafeInteger(count) && count >= 0 && count <= 100_000);
  if (!valid || !(seconds >= 1 && seconds <= 3600)) {
    console.error(
      'usage: npm run chaos -- gemini [--kills 20] [--stream-kills 20] [--plans 3] [--days 1] [--batch 1000] [--runs 1000] [--seconds LENGTH_OF_CALLS] (0: none)',
    );
    return 2;
  }
  let passed = true;
  for (const [index, { name, run }] of parts.entries()) {
    const count = counts[index] ?? 0;
    if (count === 0) continue;
    const cleanup = createCleanup();
    try {
      const { figures, violations } = await run(cleanup, { count, seconds });
      console.log(`\n${count} ${name}`);
      for (const [figure, value] of Object.entries(figures)) console.log(`  ${figure}: ${value}`);
      for (const violation of violations) console.log(`  VIOLATION: ${violation}`);
      passed &&= violations.length === 0;
    } finally {
      await cleanup.run();
    }
  }
  console.log(passed ? '\nPASSED' : '\nFAILED');
  return passed ? 0 : 1;
}
