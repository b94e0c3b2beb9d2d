/** What the model is told of other tasks: earlier ones of the context, and those to which a message refers. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { respond } from '#services/local/offline-model/responder.ts';
import type { GenerateRequest } from '#services/local/offline-model/wire.ts';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/api-keys.ts';
import { leastDefinition } from '../../support/agents/definition.ts';
import { startStack, type TaskJson } from '../../support/stack.ts';

test('earlier tasks of a context and tasks referred to are told to the model, to their owner alone', async (t) => {
  const asked: GenerateRequest[] = [];
  const directory = await mkdtemp(path.join(tmpdir(), 'agent-'));
  t.after(() => rm(directory, { recursive: true }));
  const agentFile = path.join(directory, 'agent.yaml');
  await writeFile(agentFile, stringify({ ...leastDefinition, history: { maxTokens: 100 } }));
  const stack = await startStack(t, { ...apiKeysEnv(), AGENT_FILE: agentFile }, (request) => {
    asked.push(structuredClone(request));
    return respond(request);
  });
  await Promise.all([stack.start('api'), stack.start('worker')]);
  const send = async (key: Record<string, string>, text: string, more: object = {}): Promise<TaskJson> => {
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...more };
    const { result, error } = await stack.rpc('SendMessage', { message }, key);
    assert.equal(error, undefined);
    return result.task;
  };
  const lastAsked = () =>
    asked.at(-1)!.contents.flatMap(({ role, parts }) => [role, ...parts!.map(({ text }) => text)]);

  const first = await send(aliceKey, 'What is 6 * 7?');
  const answer = first.artifacts![0]!.parts[0]!.text!;
  assert.match(answer, /42/);

  const { contextId } = first;
  await send(aliceKey, 'And in words?', { contextId });
  assert.deepEqual(lastAsked(), ['user', 'What is 6 * 7?', 'model', answer, 'user', 'And in words?']);

  // Four characters a token: 100 tokens leave no room for it beside anything else.
  await send(aliceKey, 'x'.repeat(390), { contextId });
  await send(aliceKey, 'Which were my questions?', { contextId });
  assert.equal(lastAsked().filter((text) => text === 'user').length, 1);

  const referenceTaskIds = [first.id];
  await send(aliceKey, 'How did you get there?', { referenceTaskIds });
  assert.deepEqual(lastAsked(), [
    'user',
    `[Begin of the task ${first.id}, to which the next message refers; its state is TASK_STATE_COMPLETED]`,
    'User:',
    'What is 6 * 7?',
    'Artifact "Answer":',
    answer,
    `[End of the task ${first.id}]`,
    'How did you get there?',
  ]);

  // In a context of the same name nothing of hers is his; referring to it is refused at the front door.
  await send(bobKey, 'How did she get there?', { contextId });
  assert.deepEqual(lastAsked(), ['user', 'How did she get there?']);
});
