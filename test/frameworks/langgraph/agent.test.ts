/** Graphs as agents, in memory: interrupts, threads, streams, changes of the code. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AIMessage, type BaseMessage } from '@langchain/core/messages';
import type { RunnableConfig } from '@langchain/core/runnables';
import {
  Annotation,
  END,
  entrypoint,
  interrupt,
  MessagesAnnotation,
  START,
  StateGraph,
  task as defineTask,
} from '@langchain/langgraph';
import { createGraphAgent, getIdempotencyKey, getTurn } from 'longhaul/langgraph';
import { createTask, type TestTask } from 'longhaul/testing';
import { decide } from '../support/decide.ts';
import { createToolGraph } from './graphs.ts';
import { ScriptedModel, type Reply } from './scripted-model.ts';

interface Log {
  models: number[];
  tools: string[];
}

function createAgent(replies: readonly Reply[], log: Log = { models: [], tools: [] }) {
  const model = new ScriptedModel({
    reply: (earlier) => replies[earlier] ?? {},
    onCall: (earlier) => log.models.push(earlier),
  });
  const graph = createToolGraph(model, async ({ name, args }) => {
    log.tools.push(`${name} ${JSON.stringify(args)}`);
    return 'done';
  });
  return createGraphAgent(graph);
}

const refunding: Reply[] = [
  {
    text: 'Late.',
    calls: [
      { id: 'r1', name: 'refund', args: { order: 7 } },
      { id: 't1', name: 'time', args: {} },
    ],
  },
  { text: 'Refunded.' },
];

/** Runs the turn to its end, with a crash after each record of tasks, and then after each checkpoint. Returns their number. */
async function runWithCrashes(task: TestTask): Promise<number> {
  let crashes = 0;
  for (const name of ['writes', 'checkpoint']) {
    for (;;) {
      const next = task.steps.filter((step) => step.name === name).length + 1;
      const run = await task.run({ crashAfter: `${name}#${next}` }).catch(() => undefined);
      if (run?.end !== 'crashed') break;
      crashes += 1;
    }
  }
  await task.run();
  return crashes;
}

describe('an interrupt', () => {
  test('of a review asks for approval, and the approved call runs once', async () => {
    const log: Log = { models: [], tools: [] };
    const task = createTask(createAgent(refunding, log), 'Refund order 7.');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_AUTH_REQUIRED', task.messageText);
    assert.match(task.messageText, /^The agent asks for your approval to call:\n- refund {"order":7}/);
    assert.deepEqual(log.tools, ['time {}']);
    decide(task, true);
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.deepEqual(log, { models: [0, 1], tools: ['time {}', 'refund {"order":7}'] });
    assert.equal(task.getText('answer-2'), 'Refunded.');
  });

  test('of a review that is refused gives the reason to the graph', async () => {
    const log: Log = { models: [], tools: [] };
    let seen = '';
    const model = new ScriptedModel({
      reply: (earlier, messages) => {
        seen = String(messages.at(-1)?.content);
        return refunding[earlier] ?? {};
      },
    });
    const graph = createToolGraph(model, async ({ name }) => {
      log.tools.push(name);
      return 'done';
    });
    const task = createTask(createGraphAgent(graph), 'Refund order 7.');
    await task.run();
    decide(task, false, 'too late');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.equal(seen, 'done');
    assert.deepEqual(log.tools, ['time']);
  });

  test('asks again if the message decides nothing', async () => {
    const task = createTask(createAgent(refunding), 'Refund order 7.');
    await task.run();
    task.send('Perhaps.');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_AUTH_REQUIRED');
    assert.match(task.messageText, /^Your message did not decide all calls\./);
    task.send('yes');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  });

  test('becomes a question, and the next message its answer', async () => {
    const task = createTask(createGraphAgent(createQuestions()), 'Plan a trip.');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_INPUT_REQUIRED', task.messageText);
    assert.equal(task.messageText, 'Where to?');
    task.send('Oslo');
    await task.run();
    assert.equal(task.messageText, 'When?');
    task.send([{ data: { month: 5 } }]);
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.deepEqual(task.artifacts.at(-1)?.parts[0]?.data, { place: 'Oslo', date: { month: 5 } });
  });

  test('survives a crash after each record, before and after its answer', async () => {
    const plain = createTask(createGraphAgent(createQuestions()), 'Plan a trip.');
    const task = createTask(createGraphAgent(createQuestions()), 'Plan a trip.');
    assert.ok((await runWithCrashes(task)) > 0);
    assert.equal(task.messageText, 'Where to?');
    task.send('Oslo');
    assert.ok((await runWithCrashes(task)) > 0);
    assert.equal(task.messageText, 'When?');
    task.send('May');
    assert.ok((await runWithCrashes(task)) > 0);
    await plain.run();
    for (const answer of ['Oslo', 'May']) {
      plain.send(answer);
      await plain.run();
    }
    assert.deepEqual(task.artifacts, plain.artifacts);
  });
});

/** Two interrupts in one node. */
function createQuestions() {
  const Trip = Annotation.Root({ place: Annotation<string>, date: Annotation<unknown> });
  return new StateGraph(Trip)
    .addNode('ask', () => ({
      place: interrupt('Where to?') as string,
      date: interrupt({ question: 'When?' }),
    }))
    .addEdge(START, 'ask')
    .compile();
}

test('a crash after each record repeats no call of a model or a tool', async () => {
  const log: Log = { models: [], tools: [] };
  const time = { calls: [{ id: 't1', name: 'time', args: {} }] };
  const asking = { text: 'Late.', calls: [{ id: 'r1', name: 'refund', args: { order: 7 } }] };
  const task = createTask(createAgent([time, asking, { text: 'Refunded.' }], log), 'Refund order 7.');
  assert.ok((await runWithCrashes(task)) >= 4);
  assert.equal(task.state, 'TASK_STATE_AUTH_REQUIRED', task.messageText);
  assert.equal(task.getText('answer'), 'Late.');
  decide(task, true);
  assert.ok((await runWithCrashes(task)) >= 2);
  assert.deepEqual(log, { models: [0, 1, 2], tools: ['time {}', 'refund {"order":7}'] });
  assert.equal(task.getText('answer-2'), 'Refunded.');
});

test('what a node has said before a crash is not lost', async () => {
  const model = new ScriptedModel({ reply: (earlier) => ({ text: `part ${earlier}` }) });
  const node = async ({ messages }: { messages: BaseMessage[] }) => ({
    messages: [await model.invoke(messages)],
  });
  const graph = new StateGraph(MessagesAnnotation)
    .addNode('one', node)
    .addNode('two', node)
    .addEdge(START, 'one')
    .addEdge('one', 'two')
    .compile();
  const task = createTask(createGraphAgent(graph), 'Go.');
  await task.run({ crashAfter: 'checkpoint#3' });
  await task.run();
  assert.equal(task.getText('answer'), 'part 0\n\npart 1');
});

test('models that do not stream, and messages of nodes, are part of the answer', async () => {
  const model = new ScriptedModel({ reply: () => ({ text: 'said' }), streams: false });
  const graph = new StateGraph(MessagesAnnotation)
    .addNode('one', async ({ messages }) => ({ messages: [await model.invoke(messages)] }))
    .addNode('two', () => ({ messages: [new AIMessage('written')] }))
    .addEdge(START, 'one')
    .addEdge('one', 'two')
    .addEdge('two', END)
    .compile();
  const task = createTask(createGraphAgent(graph), 'Go.');
  await task.run();
  assert.equal(task.getText('answer'), 'said\n\nwritten');
});

test('models that speak side by side do not mix their words', async () => {
  const create = (name: string, wordMs: number) =>
    new ScriptedModel({ reply: () => ({ text: `${name}1 ${name}2 ${name}3` }), wordMs });
  const [slow, fast] = [create('s', 10), create('f', 1)];
  const graph = new StateGraph(MessagesAnnotation)
    .addNode('slow', async ({ messages }) => ({ messages: [await slow.invoke(messages)] }))
    .addNode('fast', async ({ messages }) => ({ messages: [await fast.invoke(messages)] }))
    .addEdge(START, 'slow')
    .addEdge(START, 'fast')
    .compile();
  const task = createTask(createGraphAgent(graph), 'Go.');
  await task.run();
  const answer = task.getText('answer') ?? '';
  assert.ok(['s1 s2 s3\n\nf1 f2 f3', 'f1 f2 f3\n\ns1 s2 s3'].includes(answer), answer);
});

test('nodes see their turn and a key that is the same when they run again', async () => {
  const keys: string[] = [];
  const graph = new StateGraph(Annotation.Root({ done: Annotation<string> }))
    .addNode('first', () => ({ done: 'no' }))
    .addNode('second', async (_state: unknown, config: RunnableConfig) => {
      keys.push(getIdempotencyKey(config));
      await getTurn(config).progress('working');
      if (keys.length === 1) throw new Error('unavailable');
      return { done: getTurn(config).taskId };
    })
    .addEdge(START, 'first')
    .addEdge('first', 'second')
    .compile();
  const task = createTask(createGraphAgent(graph), 'Go.');
  assert.equal((await task.run()).end, 'retrying');
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
  assert.ok(keys[0]?.startsWith(task.id));
  assert.ok(task.progress.includes('working'));
});

test('a task of the functional API starts when the one before is recorded', async () => {
  const recorded: boolean[] = [];
  const first = defineTask('first', async () => 1);
  const second = defineTask('second', async () => {
    recorded.push(task.steps.some(({ result }) => JSON.stringify(result).includes('__return__')));
    return 2;
  });
  const graph = entrypoint('sum', async () => (await first()) + (await second()));
  const task = createTask(createGraphAgent(graph, { input: () => 0 }), 'Go.');
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.deepEqual(task.artifacts[0]?.parts[0]?.data, 3);
  assert.deepEqual(recorded, [true]);
});

test('an endless graph fails at its limit', async () => {
  const graph = new StateGraph(Annotation.Root({ n: Annotation<number> }))
    .addNode('loop', ({ n = 0 }) => ({ n: n + 1 }))
    .addEdge(START, 'loop')
    .addConditionalEdges('loop', () => 'loop')
    .compile();
  const task = createTask(createGraphAgent(graph, { input: () => ({ n: 0 }), recursionLimit: 5 }), 'Go.');
  await task.run();
  assert.equal(task.state, 'TASK_STATE_FAILED');
  assert.match(task.messageText, /Recursion limit of 5 reached/);
});
