/** A gateway: clients of this service work with another agent as if it were ours. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { writeTempFile } from '../support/temp-dir.ts';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { release, startSdkAgent } from '../support/agents/sdk-agents.ts';
import { isCompleted, startStack, type Stack, type TaskJson } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

const cleanup = createSuiteCleanup();
let stack: Stack;
before(async () => {
  const url = await startSdkAgent(cleanup, 'JSONRPC', { pushNotifications: true });
  const definition = {
    name: 'Front',
    description: 'In front.',
    version: '1',
    inputModes: ['text/plain', 'application/json'],
    a2a: { url },
  };
  const agentFile = writeTempFile(cleanup, 'agent.yaml', JSON.stringify(definition));
  stack = await startStack(cleanup, { AGENT_FILE: agentFile, LEASE_SECONDS: '60' });
  await Promise.all([stack.start('worker'), stack.start('api')]);
});

const getText = ({ artifacts = [] }: TaskJson): string =>
  artifacts.flatMap(({ parts }) => parts.map(({ text = '' }) => text)).join('|');

const isIn =
  (state: string) =>
  ({ status }: TaskJson): boolean =>
    status.state === `TASK_STATE_${state}`;

const readWait = async (taskId: string, turn = 1): Promise<{ task?: string; context?: string }> => {
  const { rows } = await stack.pool.query<{ wait: { task?: string; context?: string } }>(
    `select wait from steps where task_id = $1 and turn = $2 and wait ->> 'kind' = 'agent'`,
    [taskId, turn],
  );
  return rows[0]?.wait ?? {};
};

describe('a gateway', () => {
  test('lists the skills of the other agent on its card', async () => {
    await waitFor('the card', async () => {
      const response = await fetch(`${stack.apiUrl}/.well-known/agent-card.json`);
      const card = (await response.json()) as { name: string; skills: { id: string }[] };
      return card.name === 'Front' && card.skills.map(({ id }) => id).join() === 'a';
    });
  });

  test('streams artifacts and status messages while the other agent works', async () => {
    const { id } = await stack.submit('half');
    const working = await stack.until(id, ({ status }) => status.message?.parts[0].text === 'half done');
    assert.equal(getText(working), 'hello ');
    release();
    assert.equal(getText(await stack.until(id, isCompleted)), 'hello world');
    const { rows } = await stack.pool.query<{ payload: { artifactUpdate: { artifact: TaskJson } } }>(
      `select payload from events where task_id = $1 and kind = 'artifact' order by seq`,
      [id],
    );
    const chunks = rows.map(
      ({ payload }) => JSON.stringify(payload.artifactUpdate.artifact).match(/"text":"([^"]*)"/)?.[1],
    );
    assert.equal(chunks.join(''), 'hello world');
  });

  test('passes questions on, and answers to the same task', async () => {
    const { id, contextId } = await stack.submit('ask');
    const asked = await stack.until(id, isIn('INPUT_REQUIRED'));
    assert.equal(asked.status.message.parts[0].text, 'Which city?');
    await stack.submit('Paris', { message: { taskId: id } });
    assert.equal(getText(await stack.until(id, isCompleted)), 'hello world');
    const [first, second] = await Promise.all([readWait(id), readWait(id, 2)]);
    assert.ok(first.task !== undefined && first.context !== undefined);
    assert.deepEqual([second.task, second.context], [first.task, first.context]);
    // Another task of the context continues the conversation.
    const next = await stack.submit('hi', { message: { contextId } });
    await stack.until(next.id, isCompleted);
    const third = await readWait(next.id);
    assert.notEqual(third.task, first.task);
    assert.equal(third.context, first.context);
  });

  test('passes content, metadata and accepted types', async () => {
    const parts = [
      { text: 'echo' },
      { data: { n: 1 } },
      { raw: 'aGk=', mediaType: 'text/plain', filename: 'a' },
    ];
    const { result } = await stack.rpc('SendMessage', {
      message: { messageId: randomUUID(), role: 'ROLE_USER', parts, metadata: { own: true } },
      configuration: { acceptedOutputModes: ['text/plain'] },
    });
    const [{ data }] = result.task.artifacts[0].parts;
    assert.deepEqual([data.parts, data.metadata], [parts, { own: true }]);
  });

  for (const [text, state, reason] of [
    ['fail', 'FAILED', 'no such city'],
    ['reject', 'REJECTED', 'not my task'],
    ['give up', 'CANCELED', 'gave up'],
  ] as const) {
    test(`ends a task as ${state} with the reason of the other agent`, async () => {
      const { id } = await stack.submit(text);
      const ended = await stack.until(id, isIn(state));
      assert.equal(ended.status.message.parts[0].text, reason);
    });
  }

  test('waits for an authorization, and continues with the next message', async () => {
    const { id } = await stack.submit('authorize');
    const asking = await stack.until(id, isIn('AUTH_REQUIRED'));
    assert.equal(asking.status.message.parts[0].text, 'Sign in first.');
    await stack.submit('done', { message: { taskId: id } });
    assert.equal(getText(await stack.until(id, isCompleted)), 'hello world');
  });

  test('passes single messages on', async () => {
    const { result } = await stack.rpc('SendMessage', {
      message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'message' }] },
    });
    assert.equal(result.message?.parts[0].text, 'just a message');
  });

  test('cancels the task of the other agent', async () => {
    const { id } = await stack.submit('wait');
    await waitFor('the other task', async () => (await readWait(id)).task);
    await stack.rpc('CancelTask', { id });
    await waitFor('the cancel', async () => {
      const { rows } = await stack.pool.query(
        `select 1 from steps where task_id = $1 and finished_at is not null`,
        [id],
      );
      return rows.length === 1;
    });
  });
});
