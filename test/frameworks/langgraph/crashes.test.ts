/** Workers that are killed while graphs run: real processes, a real database. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, getApprovalRequests, textOf, type TaskEvent } from 'longhaul/client';
import { foldArtifacts, type ArtifactUpdate } from '#shared/domain/events.ts';
import { isCompleted } from '../../support/stack.ts';
import { runAndKill, startRig } from '../support/kill-workers.ts';
import { story, title } from './agents/story.ts';

const usageKey = 'https://longhaul.dev/ext/usage/v1';

test('a kill after each record repeats no call of a model or a tool', async (t) => {
  const rig = await startRig(t, 'langgraph/agents/trip.ts');
  const { stack } = rig;
  const task = await stack.submit('Refund my order, and tell me the weather.');
  // The first of two tools that run in parallel is recorded before the other has done its work.
  const first = await runAndKill(rig, task.id, () => {
    if (rig.calls().includes('weather Paris')) rig.openGate();
  });
  const client = await connect(stack.apiUrl);
  const asking = await client.get(task.id);
  assert.equal(asking.status.state, 'TASK_STATE_AUTH_REQUIRED', textOf(asking.status.message?.parts ?? []));
  assert.deepEqual(
    getApprovalRequests(asking).map(({ tool }) => tool),
    ['refund'],
  );
  await client.approve(task.id);
  const second = await runAndKill(rig, task.id, () => undefined);
  const done = await stack.until(task.id, isCompleted);
  t.diagnostic(`${first} + ${second} workers were killed`);
  assert.deepEqual(rig.calls(), [
    'model 0',
    'model 1',
    'model 2',
    'model 3',
    'model 4',
    'refund 7',
    'time',
    'weather Oslo',
    'weather Paris',
    'weather Rome',
  ]);
  const texts = done.artifacts?.map(({ parts }) => parts[0]?.text);
  assert.deepEqual(texts, [
    'Let me look.\n\nYour order is late.',
    'Order 7 is refunded, and it snows in Oslo.',
  ]);
  const { calls, cost } = (done.metadata ?? {})[usageKey] as { calls: number; cost: number };
  assert.equal(calls, 5);
  assert.equal(cost.toFixed(9), ((5 * (10 + 2 * 5)) / 1_000_000).toFixed(9));
});

test('a kill in the middle of a stream loses and repeats no text', async (t) => {
  const rig = await startRig(t, 'langgraph/agents/story.ts');
  const { stack } = rig;
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
  assert.deepEqual(
    foldArtifacts(updates).map(({ parts }) => textOf(parts)),
    [`${title}\n\n${story}`],
  );
  assert.deepEqual(
    rig.calls(),
    ['model 0', 'model 1', 'model 1'],
    'only the call in flight was made once more',
  );
});
