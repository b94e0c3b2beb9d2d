/** A stack with an agent of a framework, whose workers are killed. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { startStack, type Stack } from '../../support/stack.ts';
import { createTempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';

export interface Rig {
  stack: Stack;
  /** The lines that the agent has written to TEST_CALLS, sorted. */
  calls: () => string[];
  /** Creates the file TEST_GATE. */
  openGate: () => void;
}

/**
 * @param agent the path of its module, from test/frameworks
 * @param env of the services
 */
export async function startRig(
  t: TestContext,
  agent: string,
  env: Record<string, string> = {},
): Promise<Rig> {
  const dir = createTempDir(t);
  const [callsFile, gateFile] = [path.join(dir, 'calls'), path.join(dir, 'gate')];
  writeFileSync(callsFile, '');
  const stack = await startStack(t, {
    AGENT_MODULE: path.join(import.meta.dirname, '..', agent),
    NODE_OPTIONS: process.env['NODE_OPTIONS'] ?? '',
    FRAMEWORKS: process.env['FRAMEWORKS'] ?? '',
    TEST_CALLS: callsFile,
    TEST_GATE: gateFile,
    LEASE_SECONDS: '60',
    ...env,
  });
  await stack.start('api');
  return {
    stack,
    calls: () => readFileSync(callsFile, 'utf8').trim().split('\n').sort(),
    openGate: () => writeFileSync(gateFile, ''),
  };
}

/**
 * Runs one worker after the other, each of which is killed right after it has recorded a step, until the task settles.
 *
 * @returns how many were killed
 */
export async function runAndKill(
  { stack }: Rig,
  taskId: string,
  onKill: () => Promise<void> | void,
): Promise<number> {
  for (let kills = 0; ; kills += 1) {
    const worker = await stack.start('worker', { FAULT_POINT: 'step-recorded' });
    const settled = waitFor('the task to settle', async () => {
      const { result } = await stack.rpc('GetTask', { id: taskId });
      return !['TASK_STATE_SUBMITTED', 'TASK_STATE_WORKING'].includes(result.status.state);
    });
    const end = await Promise.race([worker.running.exited, settled]);
    if (end === true) {
      await worker.kill();
      return kills;
    }
    await onKill();
    await stack.endLeases('worker');
  }
}
