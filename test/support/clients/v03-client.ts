/** The client of the official JavaScript SDK of A2A 0.3, used as its applications do. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { MessageSendParams, Task } from 'a2a-js-0.3';
import {
  ClientFactory,
  JsonRpcTransportFactory,
  RestTransportFactory,
  TaskNotCancelableError,
  TaskNotFoundError,
  type Client,
} from 'a2a-js-0.3/client';
import { GrpcTransportFactory } from 'a2a-js-0.3/client/grpc';

type StreamEvent =
  ReturnType<Client['sendMessageStream']> extends AsyncGenerator<infer Event> ? Event : never;

/** Uses every operation of a service with the scripted agent over one binding. */
export async function useV03Client(url: string, binding: string, webhookUrl: string): Promise<void> {
  const client = await new ClientFactory({
    transports: [new JsonRpcTransportFactory(), new RestTransportFactory(), new GrpcTransportFactory()],
    preferredTransports: [binding],
  }).createFromUrl(url);
  await sendAndRead(client, binding);
  await stream(client, binding);
  await answerQuestion(client);
  await cancel(client);
  await configureWebhooks(client, webhookUrl);
}

function send(text: string, more: object = {}, configuration?: object): MessageSendParams {
  return {
    message: {
      kind: 'message',
      messageId: randomUUID(),
      role: 'user',
      parts: [{ kind: 'text', text }],
      ...more,
    },
    ...(configuration !== undefined && { configuration }),
  };
}

async function sendAndRead(client: Client, binding: string): Promise<void> {
  const parts = [
    { kind: 'text', text: 'say hello' },
    { kind: 'file', file: { bytes: 'aGk=', mimeType: 'image/png', name: 'hi.png' } },
    { kind: 'data', data: { a: [1] } },
  ];
  const done = requireTask(await client.sendMessage(send('', { parts })));
  assert.equal(done.status.state, 'completed');
  assert.deepEqual(done.artifacts?.[0]?.parts, [{ kind: 'text', text: 'hello' }]);
  const read = await client.getTask({ id: done.id });
  // Its protocol buffers have no names of files: over the other bindings they are dropped by this client.
  const file = binding === 'JSONRPC' ? parts[1]!.file : { bytes: 'aGk=', mimeType: 'image/png' };
  const kept = read.history?.[0]?.parts.map((part) => (part.kind === 'file' ? part.file : part.kind));
  assert.deepEqual(kept, ['text', file, 'data']);
  const direct = await client.sendMessage(send('direct hi'));
  assert.deepEqual(
    [direct.kind, direct.kind === 'message' && direct.parts],
    ['message', [{ kind: 'text', text: 'hi' }]],
  );
  await assert.rejects(client.getTask({ id: randomUUID() }), TaskNotFoundError);
  await assert.rejects(client.sendMessage(send('', { parts: [] })), /message\.parts is empty/);
}

async function stream(client: Client, binding: string): Promise<void> {
  const events = await collect(client.sendMessageStream(send('stream one two\nsay done')));
  assert.deepEqual([events[0]!.kind, isFinal(events.at(-1))], ['task', true]);
  assert.ok(events.slice(0, -1).every((event) => !isFinal(event)));
  // Over HTTP+JSON this client reports the status only.
  const reason = binding === 'HTTP+JSON' ? /./ : /was not found/;
  await assert.rejects(collect(client.sendMessageStream(send('x', { taskId: randomUUID() }))), reason);
  await assert.rejects(collect(client.resubscribeTask({ id: randomUUID() })), reason);
}

async function answerQuestion(client: Client): Promise<void> {
  const asked = await collect(client.sendMessageStream(send('ask what?')));
  const question = asked.at(-1);
  assert.ok(question?.kind === 'status-update' && question.final);
  assert.equal(question.status.state, 'input-required');
  const followed = collect(client.resubscribeTask({ id: question.taskId }));
  const answer = send('say this', { taskId: question.taskId, contextId: question.contextId });
  assert.equal(requireTask(await client.sendMessage(answer)).id, question.taskId);
  // The subscription may start before or after the answer.
  await followed.catch((error: unknown) => assert.match(String(error), /has ended/));
}

async function cancel(client: Client): Promise<void> {
  const { id } = requireTask(await client.sendMessage(send('wait 60000', {}, { blocking: false })));
  assert.equal((await client.cancelTask({ id })).status.state, 'canceled');
  await assert.rejects(client.cancelTask({ id }), TaskNotCancelableError);
}

async function configureWebhooks(client: Client, url: string): Promise<void> {
  const { id: taskId } = requireTask(await client.sendMessage(send('say hi')));
  const pushNotificationConfig = { id: 'one', url, token: 'mine', authentication: { schemes: ['Bearer'] } };
  const created = await client.setTaskPushNotificationConfig({ taskId, pushNotificationConfig });
  assert.deepEqual([created.taskId, created.pushNotificationConfig.id], [taskId, 'one']);
  const path = { id: taskId, pushNotificationConfigId: 'one' };
  assert.equal((await client.getTaskPushNotificationConfig(path)).pushNotificationConfig.url, url);
  assert.equal((await client.listTaskPushNotificationConfig({ id: taskId })).length, 1);
  await client.deleteTaskPushNotificationConfig(path);
  await assert.rejects(client.getTaskPushNotificationConfig(path), TaskNotFoundError);
}

function isFinal(event: StreamEvent | undefined): boolean {
  return event?.kind === 'status-update' && event.final;
}

async function collect(events: AsyncIterable<StreamEvent>): Promise<StreamEvent[]> {
  const all: StreamEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

function requireTask(sent: object): Task {
  assert.ok('status' in sent, 'the answer is not a task');
  return sent as Task;
}
