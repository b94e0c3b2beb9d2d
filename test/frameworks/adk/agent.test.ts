/** Agents of ADK with tools, confirmations and long-running tools, in memory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FunctionTool, LlmAgent, LongRunningFunctionTool, type Context } from '@google/adk';
import { createAdkAgent, getToolCall } from 'longhaul/adk';
import { createTask } from 'longhaul/testing';
import { z } from 'zod/v4';
import { decide } from '../support/decide.ts';
import { createModel, createTool, look, newLog, refund, runWithCrashes, type Log } from './in-memory.ts';
import { ScriptedLlm, type Reply } from './scripted-llm.ts';

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
