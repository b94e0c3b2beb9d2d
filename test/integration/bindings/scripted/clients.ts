/**
 * SDK clients of A2A 1.0 and 0.3 find each binding in the card and can use all operations.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { Role, TaskState, type SendMessageRequest, type StreamResponse, type Task } from '@a2a-js/sdk';
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  type Client,
} from '@a2a-js/sdk/client';
import { GrpcTransportFactory } from '@a2a-js/sdk/client/grpc';
import { TaskNotCancelableError, TaskNotFoundError } from '@a2a-js/sdk/errors';
import { useV03Client } from '../../../support/clients/v03-client.ts';
import { startReceiver, type Received } from '../../../support/webhooks/receiver.ts';
import { stack } from './stack.ts';
import type { AnyJson } from '../../../support/clients/any-json.ts';

const versions = ['1.0', '0.3'] as const;
const bindings = ['JSONRPC', 'HTTP+JSON', 'GRPC'] as const;

describe('SDK clients', () => {
  // [BIND-FIELD-001] [CARD-PROTO-001] [CARD-PROTO-002]
  test('find every interface in the card', async () => {
    const card = async (headers: Record<string, string> = {}) =>
      (await (await fetch(`${stack.apiUrl}/.well-known/agent-card.json`, { headers })).json()) as AnyJson;
    const current = await card({ 'a2a-version': '1.0' });
    const offered = current.supportedInterfaces.map(
      (entry: Record<string, string>) => `${entry['protocolBinding']} ${entry['protocolVersion']}`,
    );
    assert.deepEqual(
      offered,
      versions.flatMap((version) => bindings.map((binding) => `${binding} ${version}`)),
    );
    assert.equal(current.protocolVersion, undefined);
    const both = await card();
    assert.deepEqual(both.supportedInterfaces, current.supportedInterfaces);
    assert.deepEqual(
      [both.url, both.preferredTransport, both.protocolVersion],
      [`${stack.apiUrl}/a2a/jsonrpc`, 'JSONRPC', '0.3'],
    );
    assert.deepEqual(
      both.additionalInterfaces.map(({ transport }: { transport: string }) => transport),
      ['HTTP+JSON', 'GRPC'],
    );
  });

  for (const binding of bindings) {
    test(`of the SDK of 0.3 use all operations over ${binding}`, async (t) => {
      await useV03Client(stack.apiUrl, binding, (await startReceiver(t)).url);
    });
  }

  for (const version of versions) {
    for (const binding of bindings) {
      // [VER-SERVER-001] [VER-SERVER-003]
      test(`use all operations of A2A ${version} over ${binding}`, async (t) => {
        const client = await connect(stack.apiUrl, version, binding);
        assert.equal(client.protocolVersion, version);
        const receiver = await startReceiver(t);
        await useAllOperations(client, version, receiver.url);
        const received = await receiver.match(/completed/i);
        checkWebhooks(received, version);
      });
    }
  }
});

/** Connects as a client of that version, which reads only the card fields that its version defines. */
async function connect(url: string, version: string, binding: string): Promise<Client> {
  const legacyCompat = { enabled: version === '0.3' };
  const cardResolver = new DefaultAgentCardResolver({
    legacyCompat,
    fetchImpl: async (input) => {
      const headers: Record<string, string> = version === '1.0' ? { 'a2a-version': '1.0' } : {};
      const card = (await (await fetch(input, { headers })).json()) as Record<string, unknown>;
      if (version === '0.3') delete card['supportedInterfaces'];
      return Response.json(card);
    },
  });
  return new ClientFactory({
    transports: [
      new JsonRpcTransportFactory({ legacyCompat }),
      new RestTransportFactory({ legacyCompat }),
      new GrpcTransportFactory({ legacyCompat }),
    ],
    preferredTransports: [binding],
    cardResolver,
  }).createFromUrl(url);
}

async function useAllOperations(client: Client, version: string, webhookUrl: string): Promise<void> {
  const tenant = '';
  const send = (
    text: string,
    more: Partial<SendMessageRequest['configuration'] & object> = {},
    taskId = '',
  ) => ({
    tenant,
    message: {
      messageId: randomUUID(),
      contextId: '',
      taskId,
      role: Role.ROLE_USER,
      parts: [
        {
          content: { $case: 'text' as const, value: text },
          metadata: undefined,
          filename: '',
          mediaType: '',
        },
        {
          content: { $case: 'raw' as const, value: Buffer.from('bytes') },
          metadata: undefined,
          filename: '',
          mediaType: 'image/png',
        },
        {
          content: { $case: 'data' as const, value: { a: [1] } },
          metadata: undefined,
          filename: '',
          mediaType: '',
        },
      ],
      metadata: { k: 'v' },
      extensions: [],
      referenceTaskIds: [],
    },
    configuration: {
      acceptedOutputModes: ['text/plain'],
      taskPushNotificationConfig: undefined,
      returnImmediately: false,
      ...more,
    },
    metadata: undefined,
  });

  // Send with a webhook, and wait.
  const webhook = { tenant, id: '', taskId: '', url: webhookUrl, token: 'mine', authentication: undefined };
  const done = requireTask(
    await client.sendMessage(send('say hello', { taskPushNotificationConfig: webhook })),
  );
  assert.equal(done.status?.state, TaskState.TASK_STATE_COMPLETED);
  assert.deepEqual(done.artifacts[0]?.parts[0]?.content, { $case: 'text', value: 'hello' });
  const parts = done.history[0]?.parts.map((part) => part.content);
  assert.deepEqual(parts?.[1], { $case: 'raw', value: Buffer.from('bytes') });
  assert.deepEqual(parts?.[2], { $case: 'data', value: { a: [1] } });
  const direct = await client.sendMessage(send('direct hi'));
  assert.deepEqual('parts' in direct && direct.parts[0]?.content, { $case: 'text', value: 'hi' });

  // Stream.
  const streamed: StreamResponse[] = [];
  for await (const event of client.sendMessageStream(send('say streamed'))) streamed.push(event);
  assert.deepEqual(
    streamed.map((event) => event.payload?.$case),
    ['task', 'statusUpdate', 'artifactUpdate', 'statusUpdate'],
  );

  // Read and list.
  const read = await client.getTask({ tenant, id: done.id, historyLength: 1 });
  assert.deepEqual([read.id, read.history.length], [done.id, 1]);
  await assert.rejects(client.getTask({ tenant, id: randomUUID() }), TaskNotFoundError);
  const list = {
    tenant,
    contextId: done.contextId,
    status: TaskState.TASK_STATE_UNSPECIFIED,
    pageToken: '',
    statusTimestampAfter: undefined,
  };
  // A2A 0.3 cannot list tasks.
  if (version === '1.0') {
    const page = await client.listTasks(list);
    assert.deepEqual(
      page.tasks.map(({ id }) => id),
      [done.id],
    );
  }

  // Cancel.
  const slow = requireTask(await client.sendMessage(send('wait 60000', { returnImmediately: true })));
  const canceled = await client.cancelTask({ tenant, id: slow.id, metadata: undefined });
  assert.equal(canceled.status?.state, TaskState.TASK_STATE_CANCELED);
  await assert.rejects(
    client.cancelTask({ tenant, id: slow.id, metadata: undefined }),
    TaskNotCancelableError,
  );

  // Subscribe, and answer the question of the agent.
  const interrupted = requireTask(await client.sendMessage(send('ask what?')));
  assert.equal(interrupted.status?.state, TaskState.TASK_STATE_INPUT_REQUIRED);
  const followed: StreamResponse[] = [];
  for await (const event of client.resubscribeTask({ tenant, id: interrupted.id })) {
    if (followed.length === 0) await client.sendMessage(send('say this', {}, interrupted.id));
    followed.push(event);
  }
  const last = followed.at(-1)?.payload;
  assert.equal(last?.$case === 'statusUpdate' && last.value.status?.state, TaskState.TASK_STATE_COMPLETED);
  await assert.rejects(async () => {
    for await (const _event of client.resubscribeTask({ tenant, id: interrupted.id }));
  }, /has ended: read it with GetTask/);

  // Webhook configs.
  const config = {
    ...webhook,
    taskId: slow.id,
    id: 'one',
    authentication: { scheme: 'Bearer', credentials: 'c' },
  };
  const created = await client.createTaskPushNotificationConfig(config);
  assert.deepEqual([created.id, created.taskId, created.url], ['one', slow.id, webhookUrl]);
  assert.equal(created.token, 'mine', 'secrets are shown by the call that creates the config');
  const stored = await client.getTaskPushNotificationConfig({ tenant, taskId: slow.id, id: 'one' });
  assert.deepEqual(
    [stored.id, stored.url, stored.token, stored.authentication?.scheme],
    ['one', webhookUrl, '', 'Bearer'],
  );
  const query = { tenant, taskId: slow.id, pageSize: 0, pageToken: '' };
  const { configs } = await client.listTaskPushNotificationConfig(query);
  assert.deepEqual(configs, [stored]);
  const path = { tenant, taskId: slow.id, id: 'one' };
  await client.deleteTaskPushNotificationConfig(path);
  await assert.rejects(client.getTaskPushNotificationConfig(path), TaskNotFoundError);
}

/** Checks the webhooks of one completed task: they have the format of the version that registered them. */
function checkWebhooks(received: readonly Received[], version: string): void {
  const bodies = received
    .filter(({ body }) => body.includes('completed') || body.includes('COMPLETED'))
    .map(({ body }) => JSON.parse(body));
  const types = new Set(received.map(({ headers }) => headers['content-type']));
  const [completed] = bodies;
  if (version === '1.0') {
    assert.deepEqual([...types], ['application/a2a+json']);
    assert.equal(completed.task.status.state, 'TASK_STATE_COMPLETED');
    assert.equal(completed.task.artifacts[0].parts[0].text, 'hello');
  } else {
    assert.deepEqual([...types], ['application/json']);
    assert.deepEqual(
      received.map(({ body }) => (JSON.parse(body) as { kind: string }).kind),
      received.map(() => 'task'),
    );
    assert.equal(completed.status.state, 'completed');
    assert.deepEqual(completed.artifacts[0].parts[0], { kind: 'text', text: 'hello' });
  }
}

function requireTask(sent: object): Task {
  assert.ok('status' in sent, 'the answer is not a task');
  return sent as Task;
}
