/** A graph changes between two runs of a turn, or while its thread waits for an answer. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { tool } from '@langchain/core/tools';
import { interrupt, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { ToolNode, toolsCondition } from '@langchain/langgraph/prebuilt';
import type { Agent } from 'longhaul/agent';
import { createGraphAgent } from 'longhaul/langgraph';
import { createTask, type TestTask } from 'longhaul/testing';
import { z } from 'zod';
import { ScriptedModel } from './scripted-model.ts';

const wayOut =
  /Keep the name until no thread is under way, or declare a version of the agent \(docs\/develop\/versions\.md\)/;

/** A model that calls a tool once. */
function createAgent(calls: string[], { name = 'look', answer = 'Done.' } = {}): Agent {
  const model = new ScriptedModel({
    reply: (earlier) => (earlier === 0 ? { calls: [{ id: 't1', name, args: {} }] } : { text: answer }),
    onCall: (earlier) => calls.push(`model ${earlier}`),
  });
  const run = async (): Promise<string> => {
    calls.push(name);
    return 'done';
  };
  const graph = new StateGraph(MessagesAnnotation)
    .addNode('model', async ({ messages }) => ({ messages: [await model.invoke(messages)] }))
    .addNode('tools', new ToolNode([tool(run, { name, description: name, schema: z.object({}) })]))
    .addEdge(START, 'model')
    .addConditionalEdges('model', toolsCondition)
    .addEdge('tools', 'model')
    .compile();
  return createGraphAgent(graph);
}

/** Runs the turn with the first agent until the call of its tool is recorded, and then with the second one. */
async function changeAfterTool(before: Agent, after: Agent): Promise<TestTask> {
  const task = createTask(before, 'Go.');
  await task.run({ crashAfter: 'writes#3' });
  task.agent = after;
  await task.run();
  return task;
}

describe('a change of a graph in mid-turn', () => {
  test('of the name of a tool fails with the way out, and calls nothing', async () => {
    const calls: string[] = [];
    const task = await changeAfterTool(createAgent(calls), createAgent(calls, { name: 'find' }));
    assert.equal(task.state, 'TASK_STATE_FAILED');
    assert.match(task.messageText, /^The graph has no tool "look" in the node "tools"/);
    assert.match(task.messageText, wayOut);
    assert.deepEqual(calls, ['model 0', 'look']);
  });

  test('of a prompt or a model is taken by the next call', async () => {
    const calls: string[] = [];
    const task = await changeAfterTool(createAgent(calls), createAgent(calls, { answer: 'Done well.' }));
    assert.equal(task.getText('answer'), 'Done well.', task.messageText);
    assert.deepEqual(calls, ['model 0', 'look', 'model 1']);
  });

  test('behind a version branch leaves turns in flight on the old graph', async () => {
    const calls: string[] = [];
    const [before, after] = [createAgent(calls), createAgent(calls, { name: 'find' })];
    const branching: Agent = {
      run: async (turn) => ((await turn.version('find in place of look')) ? after : before).run(turn),
    };
    const old = await changeAfterTool(before, branching);
    assert.equal(old.state, 'TASK_STATE_COMPLETED', old.messageText);
    const fresh = createTask(branching, 'Go.');
    await fresh.run({ crashAfter: 'writes#3' });
    await fresh.run();
    assert.equal(fresh.state, 'TASK_STATE_COMPLETED', fresh.messageText);
    assert.deepEqual(calls, ['model 0', 'look', 'model 1', 'model 0', 'find', 'model 1']);
  });
});

describe('a change of a graph whose thread waits for an answer', () => {
  const ask = () => ({ messages: [['ai', `To ${String(interrupt('Where to?'))}.`]] }) as never;

  /** @param node in which new threads wait. `kept`: a node that no thread reaches anymore */
  function createQuestion(node: string, kept?: string): Agent {
    const graph = new StateGraph(MessagesAnnotation)
      .addNode(node, ask, { ends: kept === undefined ? [] : [kept] })
      .addEdge(START, node as never);
    if (kept !== undefined) graph.addNode(kept, ask);
    return createGraphAgent(graph.compile());
  }

  async function changeBeforeAnswer(after: Agent): Promise<TestTask> {
    const task = createTask(createQuestion('ask'), 'Plan a trip.');
    await task.run();
    task.send('Oslo');
    task.agent = after;
    await task.run();
    return task;
  }

  test('of the name of its node fails with the way out', async () => {
    const task = await changeBeforeAnswer(createQuestion('question'));
    assert.equal(task.state, 'TASK_STATE_FAILED');
    assert.match(task.messageText, /^The graph has no node "ask"/);
    assert.match(task.messageText, wayOut);
  });

  test('that keeps the old node among the ends of another continues there', async () => {
    const task = await changeBeforeAnswer(createQuestion('question', 'ask'));
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.equal(task.getText('answer-2'), 'To Oslo.');
  });
});
