/** How many statements the record of a graph needs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { createGraphAgent } from 'longhaul/langgraph';
import { createTask } from 'longhaul/testing';
import { countRecords } from '../support/count-statements.ts';
import { ScriptedModel } from './scripted-model.ts';

const calls = 10;

test('a node needs one statement: its writes are stored with the checkpoint', async () => {
  const model = new ScriptedModel({ reply: () => ({ text: 'word' }), streams: false });
  const graph = new StateGraph(Annotation.Root({ count: Annotation<number>, text: Annotation<string> }))
    .addNode('ask', async ({ count }) => ({ count: count + 1, text: (await model.invoke('go')).text }))
    .addEdge(START, 'ask')
    .addConditionalEdges('ask', ({ count }) => (count >= calls ? END : 'ask'))
    .compile();
  const task = createTask(createGraphAgent(graph, { input: () => ({ count: 0 }) }), 'Go.');
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.equal(countRecords(task), calls + 2, 'two more for the input');
});
