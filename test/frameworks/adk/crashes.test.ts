/** Workers that are killed while agents of ADK run: real processes, a real database. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, getApprovalRequests, textOf, type TaskEvent } from 'longhaul/client';
import { foldArtifacts, type ArtifactUpdate } from '#shared/domain/events.ts';
import { isCompleted } from '../../support/stack.ts';
import { runAndKill, startRig } from '../support/kill-workers.ts';
import { story, title } from './agents/story.ts';

const usageKey = 'https://longhaul.dev/ext/usage/v1';

test('a kill after each record repeats no call of a model or a tool', async (t) => {
  const rig = await startRig(t, 'adk/agents/trip.ts');
  const { stack } = rig;
  const task = await stack.submit('Refund my order, and tell me the weather.');
  // The first of two agents that run side by side is recorded before the other has done its work.
  const first = await runAndKill(rig, task.id, () => {
    if (rig.calls().includes('paris 1')) rig.openGate();
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
    'paris 0',
    'paris 1',
    'refund 7',
    'rome 0',
    'rome 1',
    'time',
    'trip 0',
    'trip 1',
    'trip 2',
    'weather Paris',
    'weather Rome',
  ]);
  const texts = Object.fromEntries(
    done.artifacts?.map(({ artifactId, parts }) => [artifactId, parts[0]?.text]) ?? [],
  );
  assert.deepEqual(texts, {
    trip: 'Let me look.\n\nYour order is late.',
    paris: 'It is sunny in Paris.',
    rome: 'It is sunny in Rome.',
    'trip-2': 'Order 7 is refunded.',
  });
  const { calls, cost } = (done.metadata ?? {})[usageKey] as { calls: number; cost: number };
  assert.equal(calls, 7);
  assert.equal(cost.toFixed(9), ((7 * (10 + 2 * 5)) / 1_000_000).toFixed(9));
});

test('a kill in the middle of a stream loses and repeats no text', async (t) => {
  const rig = await startRig(t, 'adk/agents/story.ts');
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
    [title, story],
  );
  assert.deepEqual(rig.calls(), ['story', 'story', 'title'], 'only the call in flight was made once more');
});
