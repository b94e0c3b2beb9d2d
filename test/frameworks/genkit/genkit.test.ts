/** The module of docs/frameworks/genkit.md: its worker dies after each step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { genkit } from 'genkit';
import { assertReplays, createTask } from 'longhaul/testing';
import type { Agent } from 'longhaul/agent';
import { importPage } from '../support/page.ts';

const page = await importPage<{
  createWeatherAgent: (ai: ReturnType<typeof genkit>, model: string) => Agent;
}>('genkit');

const calls: string[] = [];
const ai = genkit({});
ai.defineModel({ name: 'scripted', supports: { tools: true, multiturn: true } }, async ({ messages }) => {
  calls.push('model');
  const answered = messages.some(({ role }) => role === 'tool');
  const ask = (ref: string, location: string) => ({
    toolRequest: { name: 'weather', ref, input: { location } },
  });
  return {
    finishReason: 'stop',
    message: {
      role: 'model',
      content: answered ? [{ text: 'Mild.' }] : [ask('a', 'Paris'), ask('b', 'Rome')],
    },
    usage: { inputTokens: 10, outputTokens: 5 },
  };
});
const agent = page.createWeatherAgent(ai, 'scripted');

test('Genkit calls each model once if the worker dies after each step', async () => {
  const task = createTask(agent, 'How is the weather?');
  for (const crashAfter of ['model', 'tool:weather']) {
    const run = await task.run({ crashAfter });
    assert.equal(run.end, 'crashed', String(run.error));
  }
  await task.run({ crashAfter: 'model#2' });
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.equal(task.getText('answer'), 'Mild.');
  assert.deepEqual(calls, ['model', 'model']);
});

test('Genkit replays from every prefix of the record', async () => {
  await assertReplays(agent, 'How is the weather?');
});

test('Genkit runs with the offline model', async () => {
  const task = createTask(page.default, 'Use weather with {"location": "Paris"}');
  const { ran } = await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.deepEqual(ran, ['model#1', 'tool:weather#1', 'model#2']);
});
