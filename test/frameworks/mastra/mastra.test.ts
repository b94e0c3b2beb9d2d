/** The example of Mastra, whose worker dies after each step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertReplays, createTask } from 'longhaul/testing';
import { createModel } from '../ai-sdk/scripted-model.ts';
import { createWeatherAgent } from './agent.ts';

const calls: number[] = [];
const ask = (id: string, location: string) => ({ id, name: 'weather', input: { location } });
const replies = [{ toolCalls: [ask('a', 'Paris'), ask('b', 'Rome')] }, { text: 'Mild.' }];
const agent = createWeatherAgent(
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
