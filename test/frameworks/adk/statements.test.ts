/** How many statements the record of an agent needs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LlmAgent, LoopAgent } from '@google/adk';
import { createAdkAgent } from 'longhaul/adk';
import { createTask } from 'longhaul/testing';
import { countRecords } from '../support/count-statements.ts';
import { ScriptedLlm } from './scripted-llm.ts';

const calls = 10;

test('a call of a model needs one statement', async () => {
  const asker = new LlmAgent({ name: 'asker', model: new ScriptedLlm({ reply: () => ({ text: 'word' }) }) });
  const root = new LoopAgent({ name: 'loop', subAgents: [asker], maxIterations: calls });
  const task = createTask(createAdkAgent(root), 'Go.');
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.equal(countRecords(task), calls + 1, 'one more for the session');
});
