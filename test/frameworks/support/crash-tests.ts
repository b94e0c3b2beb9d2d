/** Workers that are killed while an agent of a framework runs, the same for each framework: real processes, a real database. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { connect, getApprovalRequests, textOf, type TaskEvent } from 'longhaul/client';
import { foldArtifacts, type ArtifactUpdate } from '#shared/domain/events.ts';
import { isCompleted } from '../../support/stack.ts';
import { runAndKill, startRig } from './kill-workers.ts';

const usageKey = 'https://longhaul.dev/ext/usage/v1';
/** Each call of a scripted model has 10 tokens of input at a price of 1, and 5 of output at 2, for a million. */
const costOfCall = (10 + 2 * 5) / 1_000_000;

export interface Trip {
  /** The path of the module of an agent that asks for the approval of `refund`, from test/frameworks. */
  agent: string;
  /** The call after whose record the other one of two that run side by side may end: the gate is opened. */
  firstOfTwo: string;
  /** All calls of models and tools, sorted. */
  calls: readonly string[];
  modelCalls: number;
  /** The texts of the artifacts, by their ids. */
  texts: Readonly<Record<string, string>>;
}

/** Kills a worker after each step, before and after the approval: each call is made once. */
export async function killAfterEachStep(t: TestContext, trip: Trip): Promise<void> {
  const rig = await startRig(t, trip.agent);
  const { stack } = rig;
  const task = await stack.submit('Refund my order, and tell me the weather.');
  const first = await runAndKill(rig, task.id, () => {
    if (rig.calls().includes(trip.firstOfTwo)) rig.openGate();
  });
  const client = await connect(stack.apiUrl);
  const asking = await client.get(task.id);
  assert.equal(asking.status.state, 'TASK_STATE_AUTH_REQUIRED', textOf(asking.status.message?.parts ?? []));
  const tools = getApprovalRequests(asking).map(({ tool }) => tool);
  assert.deepEqual(tools, ['refund']);
  await client.approve(task.id);
  const second = await runAndKill(rig, task.id, () => undefined);
  const done = await stack.until(task.id, isCompleted);
  t.diagnostic(`${first} + ${second} workers were killed`);
  assert.deepEqual(rig.calls(), trip.calls);
  const texts = done.artifacts?.map(({ artifactId, parts }) => [artifactId, parts[0]?.text]) ?? [];
  assert.deepEqual(Object.fromEntries(texts), trip.texts);
  const { calls, cost } = (done.metadata ?? {})[usageKey] as { calls: number; cost: number };
  assert.equal(calls, trip.modelCalls);
  assert.equal(cost.toFixed(9), (trip.modelCalls * costOfCall).toFixed(9));
  const { rows } = await stack.pool.query(`select sum(calls)::int as calls from ledger`);
  assert.equal(rows[0].calls, trip.modelCalls);
}

export interface Story {
  agent: string;
  /** The texts of the artifacts that its client sees. */
  texts: readonly string[];
  /** All calls, sorted: the one in flight twice. */
  calls: readonly string[];
}

/** Kills the worker in the middle of a stream: its client sees no text twice, and misses none. */
export async function killInStream(t: TestContext, story: Story): Promise<void> {
  const { stack, calls } = await startRig(t, story.agent);
  const client = await connect(stack.apiUrl);
  const { task } = await client.send('Tell me a story.');
  const updates: ArtifactUpdate[] = [];
  const following = (async () => {
    for await (const event of client.follow(task?.id ?? '') as AsyncIterable<TaskEvent>) {
      if ('artifactUpdate' in event) updates.push(event.artifactUpdate);
    }
  })();
  const first = await stack.start('worker', { FAULT_POINT: 'chunk-stored:3' });
  await first.running.exited;
  await stack.endLeases('worker');
  await stack.start('worker');
  await following;
  const shown = foldArtifacts(updates).map(({ parts }) => textOf(parts));
  assert.deepEqual(shown, story.texts);
  assert.deepEqual(calls(), story.calls, 'only the call in flight was made once more');
}
