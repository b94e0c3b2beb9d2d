/** Agents, approvals, tools of the client and conversations, in memory. Approvals need AI SDK 6. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as ai from 'ai';
import { defineAgent, type Agent } from 'longhaul/agent';
import { clientToolsKey, durable } from 'longhaul/ai-sdk';
import { createTask, type TestTask } from 'longhaul/testing';
import { z } from 'zod';
import { createModel, type Reply } from './scripted-model.ts';
import { major } from './version.ts';

const approvalKey = 'https://longhaul.dev/ext/approval/v1';

interface Options {
  replies: Reply[];
  /** Calls of tools, and prompts as JSON. */
  log?: { tools: string[]; prompts: string[] };
}

/** Tools: `refund` needs approval, `locate` is executed by the client, `time` runs. */
function createAgent({ replies, log = { tools: [], prompts: [] } }: Options): Agent {
  return defineAgent({
    run: (turn) => {
      const { model, tools, run } = durable(turn);
      const scripted = createModel({
        reply: (n, prompt) => {
          log.prompts.push(JSON.stringify(prompt));
          return replies[n]!;
        },
      });
      const settings = {
        model: model(scripted),
        tools: tools({
          refund: ai.tool({
            inputSchema: z.object({ order: z.number() }),
            ...(major === 6 && { needsApproval: true }),
            execute: async ({ order }, { toolCallId }) => {
              log.tools.push(`refund ${order} ${toolCallId}`);
              return `refunded ${order}`;
            },
          }),
          locate: ai.tool({ description: 'Where the user is', inputSchema: z.object({ why: z.string() }) }),
          time: ai.tool({
            inputSchema: z.object({}),
            execute: async () => {
              log.tools.push('time');
              return 'noon';
            },
          }),
        }),
        ...(major >= 7 && { toolApproval: { refund: 'user-approval' as const } }),
        stopWhen: ai.stepCountIs(9),
      };
      if (major < 6) return run(({ messages }) => ai.streamText({ ...settings, messages }));
      return run(new ai.ToolLoopAgent(settings));
    },
  });
}

const refund = { id: 'r1', name: 'refund', input: { order: 7 } };
const approving = [
  { text: 'I need a refund.', toolCalls: [refund, { id: 't1', name: 'time', input: {} }] },
  { text: 'Refunded.' },
];

const decide = (task: TestTask, approve: boolean, reason?: string) => {
  const content = task.message?.parts.find(({ data }) => data !== undefined)?.data as unknown;
  const asked = content as Record<string, { requests: { id: string; argumentsHash: string }[] }>;
  const { id, argumentsHash } = asked[approvalKey]!.requests[0]!;
  const decisions = [{ id, argumentsHash, approve, ...(reason && { reason }) }];
  task.send([{ text: 'See the decision.' }, { data: { [approvalKey]: { decisions } } }]);
};

describe('an approval', { skip: major < 6 && 'AI SDK 5 has no approvals' }, () => {
  test('ends the turn, and the approved call runs once in the next', async () => {
    const log = { tools: [] as string[], prompts: [] as string[] };
    const task = createTask(createAgent({ replies: approving, log }), 'Refund order 7.');
    for (const crashAfter of ['model', 'tool:time', 'messages']) await task.run({ crashAfter });
    await task.run();
    assert.equal(task.state, 'TASK_STATE_AUTH_REQUIRED', task.messageText);
    assert.match(
      task.messageText,
      /I need a refund\.\n\nThe agent asks for your approval to call:\n- refund {"order":7}/,
    );
    assert.deepEqual(log.tools, ['time']);
    decide(task, true);
    for (const crashAfter of ['tool:refund', 'model', 'messages']) await task.run({ crashAfter });
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.equal(task.getText('answer-2'), 'Refunded.');
    assert.deepEqual(log.tools, ['time', 'refund 7 r1']);
    assert.equal(log.prompts.length, 2);
    assert.match(log.prompts[1]!, /refunded 7/);
  });

  test('is taken from a plain word, and a refusal goes to the model', async () => {
    const log = { tools: [] as string[], prompts: [] as string[] };
    const task = createTask(createAgent({ replies: approving, log }), 'Refund order 7.');
    await task.run();
    task.send('Hm?');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_AUTH_REQUIRED');
    assert.match(task.messageText, /^Your message answered none of the calls\./);
    decide(task, false, 'too late');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.deepEqual(log.tools, ['time']);
    assert.match(log.prompts[1]!, /too late/);
  });

  test('applies to the arguments that were shown alone', async () => {
    const task = createTask(createAgent({ replies: approving }), 'Refund order 7.');
    await task.run();
    const decisions = [{ id: 'r1', argumentsHash: 'other', approve: true }];
    task.send([{ data: { [approvalKey]: { decisions } } }]);
    await task.run();
    assert.equal(task.state, 'TASK_STATE_AUTH_REQUIRED');
  });
});

describe('a tool of the client', () => {
  const replies = [
    { toolCalls: [{ id: 'l1', name: 'locate', input: { why: 'asked' } }] },
    { text: 'You are in Rome.' },
  ];

  test('asks for its result, which the next message brings', async () => {
    const log = { tools: [] as string[], prompts: [] as string[] };
    const task = createTask(createAgent({ replies, log }), 'Where am I?');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_INPUT_REQUIRED', task.messageText);
    const asked = task.message?.parts.find(({ data }) => data !== undefined)?.data;
    assert.deepEqual(asked, {
      [clientToolsKey]: { calls: [{ toolCallId: 'l1', toolName: 'locate', input: { why: 'asked' } }] },
    });
    task.send([
      { data: { [clientToolsKey]: { results: [{ toolCallId: 'l1', output: { city: 'Rome' } }] } } },
    ]);
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.equal(task.getText('answer-2'), 'You are in Rome.');
    assert.match(log.prompts[1]!, /"city":"Rome"/);
  });

  test('takes a plain text as its result', async () => {
    const log = { tools: [] as string[], prompts: [] as string[] };
    const task = createTask(createAgent({ replies, log }), 'Where am I?');
    await task.run();
    task.send('In Rome.');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.match(log.prompts[1]!, /In Rome\./);
  });
});
