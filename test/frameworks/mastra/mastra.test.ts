/** The module of docs/frameworks/mastra.md: its worker dies after each step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertReplays, createTask } from 'longhaul/testing';
import { createModel } from '../ai-sdk/scripted-model.ts';
import type { Agent } from 'longhaul/agent';
import { importPage } from '../support/page.ts';

const page = await importPage<{
  createWeatherAgent: (language: ReturnType<typeof createModel>) => Agent;
}>('mastra');

const calls: number[] = [];
const ask = (id: string, location: string) => ({ id, name: 'weather', input: { location } });
const replies = [{ toolCalls: [ask('a', 'Paris'), ask('b', 'Rome')] }, { text: 'Mild.' }];
const agent = page.createWeatherAgent(
  createModel({ reply: (earlier) => replies[earlier]!, onCall: (earlier) => calls.push(earlier) }),
);

test('Mastra calls each model once if the worker dies after each step', async () => {
  const task = createTask(agent, 'How is the weather?');
  for (const crashAfter of ['model', 'tool:weather', 'model#2']) {
    const run = await task.run({ crashAfter });
    assert.equal(run.end, 'crashed', String(run.error));
  }
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.equal(task.getText('answer'), 'Mild.');
  assert.deepEqual(calls, [0, 1]);
});

test('Mastra replays from every prefix of the record', async () => {
  await assertReplays(agent, 'How is the weather?');
});

test('Mastra runs with the offline model', async () => {
  const task = createTask(page.default, 'Use weather with {"location": "Paris"}');
  const { ran } = await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.deepEqual(ran, ['model#1', 'tool:weather#1', 'model#2']);
});
