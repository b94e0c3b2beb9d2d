/**
 * Agents that write much: no event, task or webhook is too large for the SDK's gRPC client or for a receiver.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SendMessageRequest, StreamResponse, Task, TaskState, type Artifact } from '@a2a-js/sdk';
import { ClientFactory, type Client } from '@a2a-js/sdk/client';
import { GrpcTransportFactory } from '@a2a-js/sdk/client/grpc';
import { maxArtifactsBytes, maxEventBytes } from '#shared/domain/sizes.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { postJsonRpc } from '../../support/clients/json-rpc.ts';
import { freePort } from '../../support/network/ports.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';

const largeOutputAgent = fileURLToPath(new URL('../../support/agents/large-output.ts', import.meta.url));
const KiB = 1024;

describe('large output', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let client: Client;
  before(async () => {
    stack = await startStack(cleanup, {
      AGENT_MODULE: largeOutputAgent,
      GRPC_PORT: String(await freePort()),
    });
    await Promise.all((['api', 'worker', 'dispatcher'] as const).map((kind) => stack.start(kind)));
    client = await new ClientFactory({
      transports: [new GrpcTransportFactory()],
      preferredTransports: ['GRPC'],
    }).createFromUrl(stack.apiUrl);
  });

  /** Sends a command and streams its task over gRPC to the end. `largest` is the size of the largest event as JSON. */
  async function stream(
    command: string,
    { message = {}, configuration }: { message?: object; configuration?: object } = {},
  ): Promise<{ id: string; largest: number; events: StreamResponse[] }> {
    const request = SendMessageRequest.fromJSON({
      message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: command }], ...message },
      configuration,
    });
    const events: StreamResponse[] = [];
    for await (const event of client.sendMessageStream(request)) events.push(event);
    const first = events[0]?.payload;
    assert.ok(first?.$case === 'task');
    const largest = Math.max(...events.map((event) => JSON.stringify(StreamResponse.toJSON(event)).length));
    return { id: first.value.id, largest, events };
  }

  /** Reads a task and lists its context: both show the same artifacts. */
  async function read(id: string): Promise<Task> {
    const task = await client.getTask({ tenant: '', id, historyLength: undefined });
    const [listed] = (
      await client.listTasks({
        tenant: '',
        contextId: task.contextId,
        status: 0,
        pageSize: 10,
        pageToken: '',
        historyLength: 0,
        statusTimestampAfter: undefined,
        includeArtifacts: true,
      })
    ).tasks;
    assert.deepEqual(listed?.artifacts, task.artifacts);
    return task;
  }

  const getSize = (value: { artifacts: Artifact[] }) =>
    JSON.stringify((Task.toJSON(value as Task) as { artifacts?: unknown }).artifacts ?? []).length;

  async function getContent({ parts: [part] }: Artifact): Promise<{ type: string | null; text: string }> {
    assert.ok(part?.content?.$case === 'url', part?.content?.$case);
    const response = await fetch(part.content.value);
    assert.equal(response.headers.get('content-type'), part.mediaType);
    return { type: part.mediaType, text: await response.text() };
  }

  for (const [command, type] of [
    ['texts', 'text/plain;charset=utf-8'],
    ['data', 'application/json'],
  ] as const) {
    test(`stores large parts of ${command} as files`, async () => {
      const { id, largest } = await stream(`${command} 20 ${300 * KiB}`);
      assert.ok(largest < 4 * KiB, `${largest}`);
      const { artifacts } = await read(id);
      assert.equal(artifacts.length, 20);
      const content = await getContent(artifacts[19]!);
      assert.equal(content.type, type);
      const text = command === 'data' ? (JSON.parse(content.text) as { text: string }).text : content.text;
      assert.equal(text, 'x'.repeat(300 * KiB));
    });

    test(`stores smaller parts of ${command} as files once the artifacts are full`, async () => {
      const { id, largest } = await stream(`${command} 60 ${200 * KiB}`);
      assert.ok(largest < maxEventBytes, `${largest}`);
      const task = await read(id);
      const cases = task.artifacts.map(({ parts }) => parts[0]?.content?.$case);
      assert.notEqual(cases[0], 'url');
      assert.equal(cases[59], 'url');
      assert.ok(getSize(task) < maxArtifactsBytes);
    });
  }

  test('moves streamed text to files, and to one file at the end', async () => {
    const { id, largest, events } = await stream(`stream ${6_000 * KiB}`);
    assert.ok(largest < maxEventBytes, `${largest}`);
    const folded = events.flatMap(({ payload }) =>
      payload?.$case === 'artifactUpdate' ? [payload.value] : [],
    );
    const { artifacts } = await read(id);
    assert.deepEqual(folded.at(-1)?.artifact?.parts, artifacts[0]?.parts);
    assert.deepEqual([folded.at(-1)?.append, folded.at(-1)?.lastChunk], [false, true]);
    assert.equal(artifacts[0]?.parts.length, 1);
    assert.equal((await getContent(artifacts[0])).text, 'x'.repeat(6_000 * KiB));
  });

  test('is replayed from the current task if it was too large at the event', async () => {
    const { id, events } = await stream(`stream ${6_000 * KiB}`);
    const response = await postJsonRpc(
      stack.apiUrl,
      'SubscribeToTask',
      { id },
      { headers: { 'last-event-id': String(events.length - 2) } },
    );
    const [data = '', ...more] = (await response.text())
      .split('\n')
      .filter((line) => line.startsWith('data:'));
    assert.ok(data.length < 4 * KiB, `${data.length}`);
    assert.match(data, /"task":.*"url":"/);
    assert.deepEqual(more, []);
  });

  test('stores large messages and progress as files', async () => {
    const receiver = await startReceiver(cleanup);
    const { id, largest } = await stream(`say ${2_000 * KiB}`, {
      configuration: { taskPushNotificationConfig: { url: receiver.url } },
    });
    assert.ok(largest < 4 * KiB, `${largest}`);
    const { status } = await read(id);
    assert.equal(status?.message?.parts[0]?.content?.$case, 'url');
    const [last] = await receiver.match(/COMPLETED/);
    assert.ok(last!.body.length < 4 * KiB);
  });

  test('fails with the limit if an artifact is too large without its content', async () => {
    const { id } = await stream(`head ${600 * KiB}`);
    const { status } = await read(id);
    assert.equal(status?.state, TaskState.TASK_STATE_FAILED);
    const [part] = status.message?.parts ?? [];
    assert.match(
      part?.content?.$case === 'text' ? part.content.value : '',
      /^The artifact "a" is too large: it would take \d+ bytes/,
    );
  });

  test('counts the artifacts of earlier turns', async () => {
    const { id } = await stream(`texts 9 ${200 * KiB} 1`);
    await stream(`texts 9 ${200 * KiB}`, { message: { taskId: id } });
    const task = await read(id);
    assert.equal(task.artifacts.length, 18);
    assert.ok(getSize(task) < maxArtifactsBytes);
    assert.equal(task.artifacts.at(-1)?.parts[0]?.content?.$case, 'url');
  });

  test('is read by later turns through its URL', async () => {
    const { contextId } = await read((await stream(`texts 1 ${300 * KiB}`)).id);
    const { id } = await stream('recall', { message: { contextId } });
    const { status } = await client.getTask({ tenant: '', id, historyLength: 0 });
    const content = status?.message?.parts[0]?.content;
    assert.deepEqual(content, { $case: 'text', value: `text/plain;charset=utf-8 of ${300 * KiB}` });
  });
});
