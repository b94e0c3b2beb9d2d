/** Turns that wait, whose worker dies: the wait is kept, and no step or other task is started twice. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { hopsExtension } from '#shared/agent/hops.ts';
import { childrenExtension } from '#shared/domain/children.ts';
import { usageExtension, type Usage } from '#shared/domain/usage.ts';
import { waitsExtension } from '#shared/domain/wait.ts';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { getStepRuns, startScriptedStack } from '../../support/services/scripted-stack.ts';
import { isCompleted, type RunningService, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';
import {
  getData,
  isWaiting,
  postAnswer,
  readChildren,
  submitCall,
} from '../../support/database/waiting-tasks.ts';
import type { Receiver } from '../../support/webhooks/receiver.ts';

const cleanup = createSuiteCleanup();
let stack: Stack;
let tool: Receiver;
let worker: RunningService;
before(async () => {
  ({ stack, tool } = await startScriptedStack(cleanup));
  stack.env['AGENT_FILE'] = writeAgentFile(cleanup, { agents: { self: { url: stack.apiUrl } } });
  [worker] = await Promise.all([stack.start('worker'), stack.start('api'), stack.start('dispatcher')]);
});

test('a callback is answered after the worker died, while no worker runs', async () => {
  const { task, url } = await submitCall(stack, 'call answer 60\nstep after');
  await worker.kill();
  assert.equal((await postAnswer(url, 'late')).status, 200);
  worker = await stack.start('worker');
  const done = await stack.until(task.id, isCompleted);
  assert.deepEqual(getData(done, 'answer'), { status: 'answered', body: 'late' });
  assert.deepEqual(getStepRuns(tool, task.id), ['1/after/0']);
});

test('a turn gets the results of 100 children, although their worker dies', async () => {
  const { id } = await stack.submit(
    'spawn kids 100 step work 20;use 2;say done\njoin all all 60\nstep after',
  );
  const { status } = await stack.until(id, isWaiting);
  const [wait] = status.message.metadata[waitsExtension];
  assert.deepEqual([wait.name, wait.kind, wait.needed, wait.size], ['all', 'children', 100, 100]);
  const children = await readChildren(stack, id);
  const getRuns = () => children.map((child) => getStepRuns(tool, child.id).length);
  await waitFor('some children', () => getRuns().filter((count) => count > 0).length > 20);
  await worker.kill();
  await stack.endLeases('worker');
  worker = await stack.start('worker');
  const done = await stack.until(id, isCompleted);
  const { states, ...rest } = getData(done, 'all') as { states: string[] };
  assert.deepEqual(rest, { status: 'joined', texts: ['done'] });
  assert.deepEqual([states.length, new Set(states)], [100, new Set(['COMPLETED'])]);
  assert.ok(getRuns().every((count) => count === 1 || count === 2));
  assert.deepEqual(getStepRuns(tool, id), ['1/after/0']);
  const after = await readChildren(stack, id);
  assert.equal(after.length, 100);
  assert.deepEqual(after[0]!.metadata, { [childrenExtension]: { parent: id } });
  assert.equal((done.metadata![childrenExtension] as { children: number }).children, 100);
  const { calls, cost } = done.metadata![usageExtension] as Usage;
  assert.deepEqual([calls, cost], [100, 200], 'the usage of each child counts once');
});

test('a call starts one task of another Longhaul, although its worker dies', async () => {
  await worker.kill('SIGTERM');
  const dying = await stack.start('worker', { FAULT_POINT: 'call-sent' });
  const { id } = await stack.submit('agent self sleep nap 2;step inner;say once\nstep after');
  await dying.running.exited;
  await stack.endLeases('worker');
  worker = await stack.start('worker');
  const done = await stack.until(id, isCompleted);
  const { taskId: called, ...rest } = getData(done, 'self') as { taskId: string };
  assert.deepEqual(rest, { status: 'completed', text: 'once' });
  assert.deepEqual(getStepRuns(tool, called), ['1/inner/0']);
  assert.deepEqual(getStepRuns(tool, id), ['1/after/0']);
  const { rows } = await stack.pool.query(
    `select id, metadata from tasks where metadata::text like '%ext/hops/%'`,
  );
  assert.deepEqual(rows, [{ id: called, metadata: { [hopsExtension]: 1 } }]);
  const deliveries = await stack.pool.query('select distinct state from deliveries where task_id = $1', [
    called,
  ]);
  assert.deepEqual(deliveries.rows, [{ state: 'delivered' }]);
});
