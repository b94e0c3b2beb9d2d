/** Workers that are killed while agents of the AI SDK run: real processes, a real database. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect, getApprovalRequests, textOf, type TaskEvent } from 'longhaul/client';
import { foldArtifacts, type ArtifactUpdate } from '#shared/domain/events.ts';
import { isCompleted } from '../../support/stack.ts';
import { runAndKill, startRig } from '../support/kill-workers.ts';
import { story } from './agents/story.ts';
import { major } from './version.ts';

const usageKey = 'https://longhaul.dev/ext/usage/v1';

describe('a worker that is killed', () => {
  test('after each step makes each call of a model and a tool once', { skip: major < 6 }, async (t) => {
    const rig = await startRig(t, 'ai-sdk/agents/trip.ts');
    const { stack, calls, openGate } = rig;
    const task = await stack.submit('Refund my order, and tell me the weather.');
    // The first tool of two that run in parallel is recorded and kills its worker; the other waits at the gate.
    const countTools = async () => {
      const { rows } = await stack.pool.query(
        `select from steps where name = 'tool:weather' and output is not null`,
      );
      if (rows.length > 0) openGate();
    };
    const first = await runAndKill(rig, task.id, countTools);
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
    assert.deepEqual(calls(), [
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
    const answer = done.artifacts?.find(({ artifactId }) => artifactId === 'answer-2');
    assert.equal(answer?.parts[0]?.text, 'Order 7 is refunded, and it snows in Oslo.');
    const { calls: counted, cost } = done.metadata![usageKey] as { calls: number; cost: number };
    assert.equal(counted, 5);
    assert.equal(cost, (5 * (10 + 2 * 5)) / 1_000_000);
    const { rows } = await stack.pool.query(`select sum(calls)::int as calls from ledger`);
    assert.equal(rows[0].calls, 5);
  });

  test('in the middle of a streamed answer loses and repeats no text', async (t) => {
    const { stack, calls } = await startRig(t, 'ai-sdk/agents/story.ts');
    const client = await connect(stack.apiUrl);
    const { task } = await client.send('Tell me a story.');
    const updates: ArtifactUpdate[] = [];
    const following = (async () => {
      for await (const event of client.follow(task!.id) as AsyncIterable<TaskEvent>) {
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
      [story],
    );
    assert.equal(updates.filter(({ append }) => append !== true).length, 2, 'the text starts again once');
    assert.deepEqual(calls(), ['model', 'model'], 'the call in flight was made once more');
  });
});
