/** The code of an agent of ADK changes between two runs of a turn. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LlmAgent } from '@google/adk';
import { createAdkAgent, getTurn } from 'longhaul/adk';
import type { Agent } from 'longhaul/agent';
import { createTask, type TestTask } from 'longhaul/testing';
import { createModel, createTool, newLog, type Log } from './in-memory.ts';

const args = { order: 7 };

/** @param name of its tool */
function createAgent(log: Log, name: string, instruction = 'Be brief.'): Agent {
  const model = createModel(log, 'm', [{ calls: [{ name, args }] }, { text: 'Done.' }]);
  return createAdkAgent(new LlmAgent({ name: 'helper', model, instruction, tools: [createTool(log, name)] }));
}

/** Runs the turn with the first agent until its tool is recorded, and then with the second one. */
async function changeAfterTool(before: Agent, after: Agent): Promise<TestTask> {
  const task = createTask(before, 'Go.');
  await task.run({ crashAfter: 'tool:look' });
  task.agent = after;
  await task.run();
  return task;
}

describe('a change of an ADK agent in mid-turn', () => {
  test('of the name of a tool fails with the way out', async () => {
    const log = newLog();
    const task = await changeAfterTool(createAgent(log, 'look'), createAgent(log, 'find'));
    assert.equal(task.state, 'TASK_STATE_FAILED');
    assert.match(
      task.messageText,
      /had finished the step "tool:look" before: the agent's code has changed .* turn\.version \(docs\/develop\/versions\.md\)/,
    );
    assert.deepEqual(log, { models: ['m 0'], tools: ['look 7'] });
  });

  test('of the prompt is taken by the next call', async () => {
    const log = newLog();
    const task = await changeAfterTool(createAgent(log, 'look'), createAgent(log, 'look', 'Be long.'));
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.deepEqual(log, { models: ['m 0', 'm 1'], tools: ['look 7'] });
  });

  test('behind a version branch leaves turns in flight on the old code', async () => {
    const log = newLog();
    const branching: Agent = {
      run: async (turn) => {
        const name = (await turn.version('find in place of look')) ? 'find' : 'look';
        return createAgent(log, name).run(turn);
      },
    };
    const old = await changeAfterTool(createAgent(log, 'look'), branching);
    assert.equal(old.state, 'TASK_STATE_COMPLETED', old.messageText);
    const fresh = createTask(branching, 'Go.');
    await fresh.run({ crashAfter: 'tool:find' });
    await fresh.run();
    assert.equal(fresh.state, 'TASK_STATE_COMPLETED', fresh.messageText);
    assert.deepEqual(log.tools, ['look 7', 'find 7']);
  });

  test('can branch in the instruction of the agent', async () => {
    const seen: boolean[] = [];
    const root = new LlmAgent({
      name: 'helper',
      model: createModel(newLog(), 'm', [{ text: 'Done.' }]),
      instruction: async () => {
        seen.push(await getTurn().version('longer'));
        return 'Be brief.';
      },
    });
    const task = createTask(createAdkAgent(root), 'Go.');
    await task.run({ crashAfter: 'model' });
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.deepEqual(seen, [true, true]);
  });
});
