/** Agents of ADK below others, and workflows, in memory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  AgentTool,
  JoinNode,
  LlmAgent,
  LoopAgent,
  node,
  ParallelAgent,
  RequestInput,
  SequentialAgent,
  Workflow,
} from '@google/adk';
import { createAdkAgent, step } from 'longhaul/adk';
import { createTask } from 'longhaul/testing';
import { createModel, createTool, look, newLog, runWithCrashes, type Log } from './in-memory.ts';
import { ScriptedLlm } from './scripted-llm.ts';

describe('agents below agents', () => {
  const createWorker = (log: Log, name: string, wordMs = 0) =>
    new LlmAgent({
      name,
      model: createModel(log, name, [{ calls: [look] }, { text: `${name} says so` }], wordMs),
      tools: [createTool(log, 'look')],
    });

  const kinds = {
    sequential: (log: Log) =>
      new SequentialAgent({ name: 'all', subAgents: [createWorker(log, 'a'), createWorker(log, 'b')] }),
    parallel: (log: Log) =>
      new ParallelAgent({ name: 'all', subAgents: [createWorker(log, 'a', 5), createWorker(log, 'b')] }),
    workflow: (log: Log) => {
      const join = new JoinNode({ name: 'join' });
      return new Workflow({
        name: 'all',
        edges: [
          ['START', createWorker(log, 'a', 5), join],
          ['START', createWorker(log, 'b'), join],
        ],
      });
    },
  };
  for (const [kind, create] of Object.entries(kinds)) {
    test(`in a ${kind} agent share one record`, async () => {
      const log = newLog();
      const task = createTask(createAdkAgent(create(log)), 'Go.');
      assert.ok((await runWithCrashes(task)) >= 3);
      assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
      // A call that was in flight when another one was recorded is made once more.
      const calls = kind === 'sequential' ? log.models : [...new Set(log.models)];
      assert.deepEqual(calls.toSorted(), ['a 0', 'a 1', 'b 0', 'b 1']);
      assert.equal(task.steps.filter(({ name }) => name === 'tool:look').length, 2);
      assert.deepEqual([task.getText('a'), task.getText('b')], ['a says so', 'b says so']);
    });
  }

  test('in a loop count on', async () => {
    const log = newLog();
    const model = new ScriptedLlm({ reply: () => ({ text: 'again' }), onCall: () => log.models.push('m') });
    const root = new LoopAgent({
      name: 'loop',
      subAgents: [new LlmAgent({ name: 'a', model })],
      maxIterations: 3,
    });
    const task = createTask(createAdkAgent(root), 'Go.');
    await runWithCrashes(task);
    assert.equal(log.models.length, 3);
    assert.equal(task.getText('a'), 'again\n\nagain\n\nagain');
  });

  test('as tools run steps of their own', async () => {
    const log = newLog();
    const model = createModel(log, 'root', [
      { calls: [{ name: 'a', args: { request: 'go' } }] },
      { text: 'Done.' },
    ]);
    const root = new LlmAgent({
      name: 'root',
      model,
      tools: [new AgentTool({ agent: createWorker(log, 'a') })],
    });
    const task = createTask(createAdkAgent(root), 'Go.');
    await runWithCrashes(task);
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.deepEqual(log.models.toSorted(), ['a 0', 'a 1', 'root 0', 'root 1']);
    assert.deepEqual(log.tools, ['look 7']);
  });
});

test('a question of a workflow becomes input-required, and the answer its result', async () => {
  const runs: string[] = [];
  const ask = node(() => new RequestInput({ message: 'Where to?' }), { name: 'ask' });
  const plan = node(
    async (_context: unknown, place: unknown) => {
      const time = await step('time', async () => {
        runs.push('time');
        return 'noon';
      });
      return `${String(place)} at ${time}`;
    },
    { name: 'plan' },
  );
  const task = createTask(
    createAdkAgent(new Workflow({ name: 'trip', edges: [['START', ask, plan]] })),
    'Go.',
  );
  await task.run();
  assert.equal(task.state, 'TASK_STATE_INPUT_REQUIRED', task.messageText);
  assert.equal(task.messageText, 'Where to?');
  task.send('Oslo');
  await runWithCrashes(task, ['node:time', 'session']);
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.equal(task.getText('trip-2'), 'Oslo at noon');
  assert.deepEqual(runs, ['time']);
});
