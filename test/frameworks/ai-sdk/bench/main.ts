/**
 * `npm run frameworks -- bench` measures what a recorded call of a model costs next to a bare one, with an offline model
 * and a real worker and database. Run it on a quiet machine.
 */
import path from 'node:path';
import { createCleanup } from '../../../support/cleanup.ts';
import { globalSetup, globalTeardown } from '../../../support/global-setup.ts';
import { isCompleted, startStack } from '../../../support/stack.ts';
import { getPercentile } from '../../../tools/percentile.ts';

const cleanup = createCleanup();
await globalSetup();
try {
  const stack = await startStack(cleanup, {
    AGENT_MODULE: path.join(import.meta.dirname, 'agent.ts'),
    NODE_OPTIONS: process.env['NODE_OPTIONS'] ?? '',
    FRAMEWORKS: process.env['FRAMEWORKS'] ?? '',
    LEASE_SECONDS: '60',
  });
  await Promise.all([stack.start('api'), stack.start('worker')]);
  await stack.ready();
  const { id } = await stack.submit('measure');
  const { artifacts = [] } = await stack.until(id, isCompleted, 300_000);
  const { data } = artifacts[0]!.parts[0] as unknown as { data: Record<string, number[]> };
  const show = (name: string, p: number): number =>
    getPercentile(
      (data[name] ?? []).toSorted((a, b) => a - b),
      p,
    ) ?? NaN;
  for (const name of ['bare', 'recorded']) {
    console.log(
      `${name.padEnd(9)} p50 ${show(name, 0.5).toFixed(2)} ms  p99 ${show(name, 0.99).toFixed(2)} ms`,
    );
  }
  console.log(`overhead  p50 ${(show('recorded', 0.5) - show('bare', 0.5)).toFixed(2)} ms (target: 3 ms)`);
} finally {
  await cleanup.run();
  await globalTeardown();
}
process.exit();
