/** The other tasks that the model sees: earlier tasks of the context, and those to which a message refers. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { respond } from '#services/local/offline-model/responder.ts';
import type { GenerateRequest } from '#services/local/offline-model/wire.ts';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/services/api-keys.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { startStack, type Stack, type TaskJson } from '../../support/stack.ts';

const cleanup = createSuiteCleanup();
const requests: GenerateRequest[] = [];
let stack: Stack;
before(async () => {
  // The history has room for 100 tokens.
  const agentFile = writeAgentFile(cleanup, { history: { maxTokens: 100 } });
  stack = await startStack(cleanup, { ...apiKeysEnv(), AGENT_FILE: agentFile }, (request) => {
    requests.push(structuredClone(request));
    return respond(request);
  });
  await Promise.all([stack.start('api'), stack.start('worker')]);
});

async function send(key: Record<string, string>, text: string, more: object = {}): Promise<TaskJson> {
  const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...more };
  const { result, error } = await stack.rpc('SendMessage', { message }, key);
  assert.equal(error, undefined);
  return result.task;
}

/** Sends a task of Alice, in a context of its own. */
async function sendFirst(): Promise<{ first: TaskJson; answer: string }> {
  const first = await send(aliceKey, 'What is 6 * 7?');
  const answer = first.artifacts![0]!.parts[0]!.text!;
  assert.match(answer, /42/);
  return { first, answer };
}

/** The roles and texts of the last request to the model. */
const readLastRequest = () =>
  requests.at(-1)!.contents.flatMap(({ role, parts }) => [role, ...parts!.map(({ text }) => text)]);

describe('the model', () => {
  test('sees earlier tasks of the context up to the history limit', async () => {
    const { first, answer } = await sendFirst();
    const { contextId } = first;
    await send(aliceKey, 'And in words?', { contextId });
    const expected = ['user', 'What is 6 * 7?', 'model', answer, 'user', 'And in words?'];
    assert.deepEqual(readLastRequest(), expected);

    // At four characters a token, this message fills the limit of 100 tokens.
    await send(aliceKey, 'x'.repeat(390), { contextId });
    await send(aliceKey, 'Which were my questions?', { contextId });
    assert.equal(readLastRequest().filter((text) => text === 'user').length, 1);
  });

  test('sees the tasks to which a message refers', async () => {
    const { first, answer } = await sendFirst();
    await send(aliceKey, 'How did you get there?', { referenceTaskIds: [first.id] });
    assert.deepEqual(readLastRequest(), [
      'user',
      `[Start of task ${first.id}, to which the next message refers. Its state is TASK_STATE_COMPLETED.]`,
      'User:',
      'What is 6 * 7?',
      'Artifact "Answer":',
      answer,
      `[End of task ${first.id}]`,
      'How did you get there?',
    ]);
  });

  test("sees no tasks of another owner's context with the same id", async () => {
    const { first } = await sendFirst();
    await send(bobKey, 'How did she get there?', { contextId: first.contextId });
    assert.deepEqual(readLastRequest(), ['user', 'How did she get there?']);
  });
});
