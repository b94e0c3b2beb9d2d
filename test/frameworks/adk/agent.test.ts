/** Agents and workflows of ADK as agents, in memory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  AgentTool,
  FunctionTool,
  JoinNode,
  LlmAgent,
  LogLevel,
  LongRunningFunctionTool,
  LoopAgent,
  node,
  ParallelAgent,
  RequestInput,
  SequentialAgent,
  setLogLevel,
  Workflow,
  type Context,
} from '@google/adk';
import { createAdkAgent, getToolCall, step } from 'longhaul/adk';
import { createTask, type TestTask } from 'longhaul/testing';
import { z } from 'zod/v4';
import { decide } from '../support/decide.ts';
import { ScriptedLlm, type Reply } from './scripted-llm.ts';

setLogLevel(LogLevel.ERROR);

interface Log {
  models: string[];
  tools: string[];
}

const newLog = (): Log => ({ models: [], tools: [] });

function createModel(log: Log, name: string, replies: readonly Reply[], wordMs = 0): ScriptedLlm {
  return new ScriptedLlm({
    reply: (earlier) => replies[earlier] ?? {},
    onCall: (earlier) => log.models.push(`${name} ${earlier}`),
    wordMs,
  });
}

function createTool(log: Log, name: string, options: { requireConfirmation?: boolean } = {}): FunctionTool {
  return new FunctionTool({
    name,
    description: name,
    parameters: z.object({ order: z.number() }),
    ...options,
    execute: async ({ order }: { order: number }, context?: Context) => {
      log.tools.push(`${name} ${order}`);
      context?.state.set('last', `${name} ${order}`);
      return { done: order };
    },
  }) as unknown as FunctionTool;
}

/** Runs the turn to its end, with a crash after each step of these names. */
async function runWithCrashes(
  task: TestTask,
  names = ['model', 'tool:look', 'tool:refund', 'session'],
): Promise<number> {
  let crashes = 0;
  for (const name of names) {
    for (;;) {
      const next = task.steps.filter((recorded) => recorded.name === name && recorded.finished).length + 1;
      const run = await task.run({ crashAfter: `${name}#${next}` }).catch(() => undefined);
      if (run?.end !== 'crashed') break;
      crashes += 1;
    }
  }
  await task.run();
  return crashes;
}

const look = { name: 'look', args: { order: 7 } };
const refund = { name: 'refund', args: { order: 7 } };

describe('an agent with tools', () => {
  test('makes each call once, even if it crashes after each step', async () => {
    const log = newLog();
    const model = createModel(log, 'm', [{ text: 'Looking.', calls: [look] }, { text: 'Done.' }]);
    const root = new LlmAgent({
      name: 'helper',
      model,
      tools: [createTool(log, 'look')],
      instruction: 'Last: {last?}',
    });
    const task = createTask(createAdkAgent(root), 'Go.');
    assert.ok((await runWithCrashes(task)) >= 2);
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.deepEqual(log, { models: ['m 0', 'm 1'], tools: ['look 7'] });
    assert.equal(task.getText('helper'), 'Looking.\n\nDone.');
  });

  test('does again what a recorded call has done to the state', async () => {
    const seen: string[] = [];
    const log = newLog();
    const model = new ScriptedLlm({
      reply: (earlier, { config }) => {
        seen.push(String(config?.systemInstruction).match(/Last: .*/)?.[0] ?? '');
        return earlier === 0 ? { calls: [look] } : { text: 'Done.' };
      },
    });
    const root = new LlmAgent({
      name: 'helper',
      model,
      tools: [createTool(log, 'look')],
      instruction: 'Last: {last?}',
    });
    const task = createTask(createAdkAgent(root), 'Go.');
    await task.run({ crashAfter: 'tool:look' });
    await task.run();
    assert.equal(seen.at(-1), 'Last: look 7');
  });

  test('fails with the way out if the code has changed', async () => {
    const log = newLog();
    const create = (name: string) =>
      createAdkAgent(
        new LlmAgent({
          name: 'helper',
          model: createModel(log, 'm', [{ calls: [{ name, args: { order: 7 } }] }, { text: 'Done.' }]),
          tools: [createTool(log, name)],
        }),
      );
    const task = createTask(create('look'), 'Go.');
    await task.run({ crashAfter: 'tool:look' });
    task.agent = create('find');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_FAILED');
    assert.match(task.messageText, /had finished the step "tool:look" before: the agent's code has changed/);
  });

  test('gives errors of tools to the model, and runs the turn again if the model fails', async () => {
    let fails = true;
    let seen: unknown;
    const model = new ScriptedLlm({
      reply: (earlier, { contents }) => {
        seen = contents.at(-1)?.parts?.[0]?.functionResponse?.response;
        if (earlier === 0) return { calls: [look] };
        if (fails) throw Object.assign(new Error('overloaded'), { status: 503 });
        return { text: 'Done.' };
      },
    });
    const tool = new FunctionTool({
      name: 'look',
      description: 'look',
      parameters: z.object({ order: z.number() }),
      execute: async () => {
        throw new Error('no such order');
      },
    });
    const task = createTask(createAdkAgent(new LlmAgent({ name: 'helper', model, tools: [tool] })), 'Go.');
    const run = await task.run();
    assert.equal(run.end, 'retrying');
    assert.match(String(run.error), /overloaded/);
    fails = false;
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.deepEqual(seen, { error: "Error in tool 'look': no such order" });
  });

  test('stops at the limits of the definition', async () => {
    const log = newLog();
    const model = createModel(log, 'm', [{ calls: [look] }, { text: 'Done.' }]);
    const root = new LlmAgent({ name: 'helper', model, tools: [createTool(log, 'look')] });
    const task = createTask(createAdkAgent(root), { message: 'Go.', definition: { limits: { tokens: 15 } } });
    await task.run();
    assert.equal(task.state, 'TASK_STATE_FAILED');
    assert.match(task.messageText, /limit of 15 tokens/);
    assert.deepEqual(log.models, ['m 0']);
  });
});

describe('a confirmation', () => {
  const createAgent = (log: Log) =>
    createAdkAgent(
      new LlmAgent({
        name: 'helper',
        model: createModel(log, 'm', [{ text: 'Late.', calls: [refund] }, { text: 'Done.' }]),
        tools: [createTool(log, 'refund', { requireConfirmation: true })],
      }),
    );

  test('becomes an approval, and the approved call runs once', async () => {
    const log = newLog();
    const task = createTask(createAgent(log), 'Refund it.');
    await runWithCrashes(task);
    assert.equal(task.state, 'TASK_STATE_AUTH_REQUIRED', task.messageText);
    assert.match(task.messageText, /^The agent asks for your approval to call:\n- refund {"order":7}/);
    assert.deepEqual(log, { models: ['m 0'], tools: [] });
    decide(task, true);
    await runWithCrashes(task);
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.deepEqual(log, { models: ['m 0', 'm 1'], tools: ['refund 7'] });
    assert.equal(task.getText('helper-2'), 'Done.');
  });

  test('that is refused does not run the tool', async () => {
    const log = newLog();
    const task = createTask(createAgent(log), 'Refund it.');
    await task.run();
    task.send('Perhaps.');
    await task.run();
    assert.match(task.messageText, /^Your message did not decide all calls\./);
    task.send('No.');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.deepEqual(log.tools, []);
  });
});

describe('a long-running tool', () => {
  const createAgent = (log: Log, execute: () => Promise<unknown>) =>
    createAdkAgent(
      new LlmAgent({
        name: 'helper',
        model: createModel(log, 'm', [{ calls: [{ name: 'print', args: {} }] }, { text: 'Printed.' }]),
        tools: [new LongRunningFunctionTool({ name: 'print', description: 'Prints.', execute })],
      }),
    );

  test('that uses its callback suspends the turn until the result is posted', async () => {
    const log = newLog();
    const urls: (string | undefined)[] = [];
    const agent = createAgent(log, async () => {
      urls.push(getToolCall().callbackUrl);
      return { status: 'pending' };
    });
    const task = createTask(agent, 'Print.');
    const run = await task.run();
    assert.equal(run.end, 'waiting', String(run.error));
    assert.deepEqual(
      run.waits.map(({ url }) => url),
      urls,
    );
    task.answer('result:print', { pages: 3 });
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.deepEqual([urls.length, log.models], [1, ['m 0', 'm 1']]);
  });

  test('without a callback gets its result from the next message', async () => {
    const log = newLog();
    const task = createTask(
      createAgent(log, async () => undefined),
      'Print.',
    );
    await task.run();
    assert.equal(task.state, 'TASK_STATE_INPUT_REQUIRED', task.messageText);
    assert.equal(task.messageText, 'The tool print waits for its result.');
    task.send([{ data: { pages: 3 } }]);
    await task.run();
    assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
    assert.equal(task.getText('helper-2'), 'Printed.');
  });
});

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

test('artifacts of tools are artifacts of the task, also for later turns', async () => {
  const loaded: unknown[] = [];
  const save = new FunctionTool({
    name: 'save',
    description: 'Saves.',
    parameters: z.object({}),
    execute: async (_args: unknown, context?: Context) => {
      const earlier = await context?.loadArtifact('note.txt');
      loaded.push(earlier?.text);
      return { version: await context?.saveArtifact('note.txt', { text: `note ${loaded.length}` }) };
    },
  });
  const reply: Reply = { calls: [{ name: 'save', args: {} }] };
  const asking: Reply = { calls: [{ name: 'wait', args: {} }] };
  const wait = new LongRunningFunctionTool({
    name: 'wait',
    description: 'Waits.',
    execute: async () => undefined,
  });
  const model = createModel(newLog(), 'm', [reply, asking, reply, { text: 'Done.' }]);
  const root = new LlmAgent({ name: 'helper', model, tools: [save, wait] });
  const task = createTask(createAdkAgent(root), 'Go.');
  await task.run({ crashAfter: 'tool:save' });
  await task.run();
  assert.equal(task.getText('note.txt'), 'note 1');
  task.send('ready');
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.deepEqual(loaded, [undefined, 'note 1']);
  assert.equal(task.getText('note.txt'), 'note 2');
});
