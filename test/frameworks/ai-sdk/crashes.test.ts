/** Workers that are killed while agents of the AI SDK run: real processes, a real database. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import * as ai from 'ai';
import { ChatTransport } from 'longhaul/ai-sdk/chat';
import { connect, getApprovalRequests, textOf, type TaskEvent } from 'longhaul/client';
import { foldArtifacts, type ArtifactUpdate } from '#shared/domain/events.ts';
import { isCompleted, startStack, type Stack } from '../../support/stack.ts';
import { createTempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';
import { story } from './agents/story.ts';
import { major } from './version.ts';

const usageKey = 'https://longhaul.dev/ext/usage/v1';

interface Rig {
  stack: Stack;
  /** The calls of models and tools so far, sorted. */
  calls: () => string[];
  openGate: () => void;
}

async function start(t: TestContext, agent: string): Promise<Rig> {
  const dir = createTempDir(t);
  const [callsFile, gateFile] = [path.join(dir, 'calls'), path.join(dir, 'gate')];
  writeFileSync(callsFile, '');
  const stack = await startStack(t, {
    AGENT_MODULE: path.join(import.meta.dirname, 'agents', agent),
    NODE_OPTIONS: process.env['NODE_OPTIONS'] ?? '',
    FRAMEWORKS: process.env['FRAMEWORKS'] ?? '',
    TEST_CALLS: callsFile,
    TEST_GATE: gateFile,
    LEASE_SECONDS: '60',
  });
  await stack.start('api');
  return {
    stack,
    calls: () => readFileSync(callsFile, 'utf8').trim().split('\n').sort(),
    openGate: () => writeFileSync(gateFile, ''),
  };
}

/** Runs one worker after the other, each of which is killed right after it has recorded a step, until the task settles. */
async function runAndKill(stack: Stack, taskId: string, onKill: () => void): Promise<number> {
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
    onKill();
    await stack.endLeases('worker');
  }
}

describe('a worker that is killed', () => {
  test('after each step makes each call of a model and a tool once', { skip: major < 6 }, async (t) => {
    const { stack, calls, openGate } = await start(t, 'trip.ts');
    const task = await stack.submit('Refund my order, and tell me the weather.');
    // The first tool of two that run in parallel is recorded and kills its worker; the other waits at the gate.
    const countTools = async () => {
      const { rows } = await stack.pool.query(
        `select from steps where name = 'tool:weather' and output is not null`,
      );
      if (rows.length > 0) openGate();
    };
    let counting = Promise.resolve();
    const first = await runAndKill(stack, task.id, () => void (counting = countTools()));
    await counting;
    const client = await connect(stack.apiUrl);
    const asking = await client.get(task.id);
    assert.equal(asking.status.state, 'TASK_STATE_AUTH_REQUIRED', textOf(asking.status.message?.parts ?? []));
    assert.deepEqual(
      getApprovalRequests(asking).map(({ tool }) => tool),
      ['refund'],
    );
    await client.approve(task.id);
    const second = await runAndKill(stack, task.id, () => undefined);
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
    const { stack, calls } = await start(t, 'story.ts');
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

test(
  'useChat shows the whole answer after a reload and a kill in mid-stream',
  { skip: major < 7 },
  async (t) => {
    const { stack } = await start(t, 'story.ts');
    const transport = new ChatTransport({ url: stack.apiUrl });
    const chatId = crypto.randomUUID();
    const message = {
      id: crypto.randomUUID(),
      role: 'user' as const,
      parts: [{ type: 'text', text: 'A story!' }],
    };
    const first = await stack.start('worker', { FAULT_POINT: 'chunk-stored:2' });
    const stream = await transport.sendMessages({ chatId, messages: [message], abortSignal: undefined });
    const reader = stream.getReader();
    for (let chunk; (chunk = await reader.read()).value?.type !== 'text-delta';) assert.ok(!chunk.done);
    // The browser is reloaded.
    await reader.cancel();
    const resumed = await transport.reconnectToStream({ chatId });
    await first.running.exited;
    await stack.endLeases('worker');
    await stack.start('worker');
    assert.ok(resumed);
    let shown: ai.UIMessage | undefined;
    for await (const state of ai.readUIMessageStream({ stream: resumed as never })) shown = state;
    const texts = shown?.parts.filter((part) => part.type === 'text').map(({ text }) => text);
    assert.deepEqual(texts, [story]);
    assert.equal(await transport.reconnectToStream({ chatId }), null, 'no task runs');
  },
);
