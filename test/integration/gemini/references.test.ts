/** The other tasks that the model sees: earlier tasks of the context, and those to which a message refers. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test, type TestContext } from 'node:test';
import { respond } from '#services/local/offline-model/responder.ts';
import type { GenerateRequest } from '#services/local/offline-model/wire.ts';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/api-keys.ts';
import { startStack, type TaskJson } from '../../support/stack.ts';

/** Starts a stack whose history has room for 100 tokens, and sends a first task of Alice. */
async function startWithTask(t: TestContext) {
  const requests: GenerateRequest[] = [];
  const agentFile = writeAgentFile(t, { history: { maxTokens: 100 } });
  const stack = await startStack(t, { ...apiKeysEnv(), AGENT_FILE: agentFile }, (request) => {
    requests.push(structuredClone(request));
    return respond(request);
  });
  await Promise.all([stack.start('api'), stack.start('worker')]);
  const send = async (key: Record<string, string>, text: string, more: object = {}): Promise<TaskJson> => {
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...more };
    const { result, error } = await stack.rpc('SendMessage', { message }, key);
    assert.equal(error, undefined);
    return result.task;
  };
  /** The roles and texts of the last request to the model. */
  const readLastRequest = () =>
    requests.at(-1)!.contents.flatMap(({ role, parts }) => [role, ...parts!.map(({ text }) => text)]);

  const first = await send(aliceKey, 'What is 6 * 7?');
  const answer = first.artifacts![0]!.parts[0]!.text!;
  assert.match(answer, /42/);
  return { send, readLastRequest, first, answer };
}

describe('the model', () => {
  test('sees earlier tasks of the context up to the history limit', async (t) => {
    const { send, readLastRequest, first, answer } = await startWithTask(t);
    const { contextId } = first;
    await send(aliceKey, 'And in words?', { contextId });
    const expected = ['user', 'What is 6 * 7?', 'model', answer, 'user', 'And in words?'];
    assert.deepEqual(readLastRequest(), expected);

    // At four characters a token, this message fills the limit of 100 tokens.
    await send(aliceKey, 'x'.repeat(390), { contextId });
    await send(aliceKey, 'Which were my questions?', { contextId });
    assert.equal(readLastRequest().filter((text) => text === 'user').length, 1);
  });

  test('sees the tasks to which a message refers', async (t) => {
    const { send, readLastRequest, first, answer } = await startWithTask(t);
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

  test("sees no tasks of another owner's context with the same id", async (t) => {
    const { send, readLastRequest, first } = await startWithTask(t);
    await send(bobKey, 'How did she get there?', { contextId: first.contextId });
    assert.deepEqual(readLastRequest(), ['user', 'How did she get there?']);
  });
});
