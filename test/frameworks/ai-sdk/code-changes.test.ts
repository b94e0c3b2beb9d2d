/** The code of an agent of the AI SDK changes between two runs of a turn. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as ai from 'ai';
import { defineAgent, type Agent, type Turn, type TurnOutcome } from 'longhaul/agent';
import { durable } from 'longhaul/ai-sdk';
import { createTask, type TestTask } from 'longhaul/testing';
import { z } from 'zod';
import { createModel } from './scripted-model.ts';

interface Code {
  /** The name of its tool. */
  tool: string;
  system: string;
}

const code: Code = { tool: 'look', system: 'Be brief.' };
const documented = /the agent's code has changed .* turn\.version \(docs\/develop\/versions\.md\)/;

function runCode(turn: Turn, { tool, system }: Code, calls: string[]): Promise<TurnOutcome> {
  const { model, tools, run } = durable(turn);
  const scripted = createModel({
    reply: (earlier) =>
      earlier === 0 ? { toolCalls: [{ id: 'a', name: tool, input: {} }] } : { text: 'Done.' },
    onCall: (earlier) => calls.push(`model ${earlier}`),
  });
  const execute = async (): Promise<string> => {
    calls.push(tool);
    return 'done';
  };
  const settings = {
    model: model(scripted),
    system,
    tools: tools({ [tool]: ai.tool({ inputSchema: z.object({}), execute }) }),
    stopWhen: ai.stepCountIs(3),
  };
  return run(({ messages }) => ai.streamText({ ...settings, messages }));
}

function createAgent(calls: string[], changes: Partial<Code> = {}): Agent {
  return defineAgent({ run: (turn) => runCode(turn, { ...code, ...changes }, calls) });
}

/** Runs the turn with the first agent until its tool is recorded, and then with the second one. */
async function changeAfterTool(before: Agent, after: Agent): Promise<TestTask> {
  const task = createTask(before, 'Go.');
  await task.run({ crashAfter: 'tool:look' });
  task.agent = after;
  await task.run();
  return task;
}

describe('a change of an agent in mid-turn', () => {
  for (const [what, changes] of Object.entries({
    'the prompt': { system: 'Be long.' },
    'the name of a tool': { tool: 'find' },
  })) {
    test(`of ${what} fails with the way out, and calls nothing`, async () => {
      const calls: string[] = [];
      const task = await changeAfterTool(createAgent(calls), createAgent(calls, changes));
      assert.equal(task.state, 'TASK_STATE_FAILED');
      assert.match(task.messageText, documented);
      assert.deepEqual(calls, ['model 0', 'look']);
    });
  }

  test('behind a version branch leaves turns in flight on the old code', async () => {
    const calls: string[] = [];
    const branching = defineAgent({
      run: async (turn) => {
        const isNew = await turn.version('find in place of look');
        return runCode(turn, isNew ? { tool: 'find', system: 'Be long.' } : code, calls);
      },
    });
    const old = await changeAfterTool(createAgent(calls), branching);
    assert.equal(old.state, 'TASK_STATE_COMPLETED', old.messageText);
    const fresh = createTask(branching, 'Go.');
    await fresh.run({ crashAfter: 'tool:find' });
    await fresh.run();
    assert.equal(fresh.state, 'TASK_STATE_COMPLETED', fresh.messageText);
    assert.deepEqual(calls, ['model 0', 'look', 'model 1', 'model 0', 'find', 'model 1']);
  });
});
