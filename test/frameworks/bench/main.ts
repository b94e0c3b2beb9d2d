/**
 * `npm run frameworks -- bench` measures what a recorded call of a model costs next to a bare one, with an offline model
 * and a real worker and database. Run it on a quiet machine.
 *
 *   -- bench adk langgraph    of these frameworks only
 */
import path from 'node:path';
import { createCleanup } from '../../support/cleanup.ts';
import { globalSetup, globalTeardown } from '../../support/global-setup.ts';
import { isCompleted, startStack, type Stack, type TaskJson } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';
import { getPercentile } from '../../tools/percentile.ts';

/** A client that polls more often would take time of the two that are measured: the worker and the database. */
const everyMs = 1_000;
const given = process.argv.slice(2);
const frameworks = given.length > 0 ? given : ['ai-sdk', 'langgraph', 'adk'];
await globalSetup();
for (const framework of frameworks) await measure(framework);
await globalTeardown();
process.exit();

/** Returns the task once it has ended. */
async function readEnded(stack: Stack, id: string): Promise<TaskJson | undefined> {
  const { result } = await stack.rpc('GetTask', { id });
  const task = result as TaskJson;
  return isCompleted(task) ? task : undefined;
}

async function measure(framework: string): Promise<void> {
  const cleanup = createCleanup();
  try {
    const stack = await startStack(cleanup, {
      AGENT_MODULE: path.join(import.meta.dirname, '..', framework, 'bench-agent.ts'),
      NODE_OPTIONS: process.env['NODE_OPTIONS'] ?? '',
      FRAMEWORKS: process.env['FRAMEWORKS'] ?? '',
      LEASE_SECONDS: '60',
    });
    await Promise.all([stack.start('api'), stack.start('worker')]);
    await stack.ready();
    const { id } = await stack.submit('measure');
    const task = await waitFor('the end of the measurement', () => readEnded(stack, id), {
      boundMs: 300_000,
      everyMs,
    });
    const { artifacts = [] } = task;
    const times = artifacts.find(({ artifactId }) => artifactId === 'times');
    const { data } = (times?.parts[0] ?? {}) as { data?: Record<string, number[]> };
    const get = (name: string, p: number): number =>
      getPercentile(
        (data?.[name] ?? []).toSorted((a, b) => a - b),
        p,
      ) ?? Number.NaN;
    console.log(framework);
    for (const name of ['bare', 'recorded']) {
      console.log(
        `  ${name.padEnd(9)} p50 ${get(name, 0.5).toFixed(2)} ms  p99 ${get(name, 0.99).toFixed(2)} ms`,
      );
    }
    console.log(`  overhead  p50 ${(get('recorded', 0.5) - get('bare', 0.5)).toFixed(2)} ms (target: 3 ms)`);
  } finally {
    await cleanup.run();
  }
}
