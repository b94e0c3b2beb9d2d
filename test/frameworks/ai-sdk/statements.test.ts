/** How many statements the record of an agent needs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as ai from 'ai';
import { defineAgent } from 'longhaul/agent';
import { durable } from 'longhaul/ai-sdk';
import { createTask } from 'longhaul/testing';
import { countRecords } from '../support/count-statements.ts';
import { createModel } from './scripted-model.ts';

const calls = 10;

test('a call of a model needs one statement', async () => {
  const agent = defineAgent({
    run: async (turn) => {
      const model = durable(turn).model(createModel({ reply: () => ({ text: 'word' }) }));
      for (let call = 0; call < calls; call += 1) await ai.generateText({ model, prompt: `call ${call}` });
      return { state: 'TASK_STATE_COMPLETED' };
    },
  });
  const task = createTask(agent, 'Go.');
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.equal(countRecords(task), calls);
});
