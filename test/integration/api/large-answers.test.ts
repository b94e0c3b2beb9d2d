/**
 * Answers of the api service have a maximum size for tasks of any size: the service survives with a small heap, and the
 * SDK's gRPC client, which accepts 4 MiB, can read them.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { SendMessageRequest } from '@a2a-js/sdk';
import { ClientFactory, type Client } from '@a2a-js/sdk/client';
import { GrpcTransportFactory } from '@a2a-js/sdk/client/grpc';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import type { JsonRpcAnswer } from '../../support/clients/json-rpc.ts';
import { freePort } from '../../support/network/ports.ts';
import { startStack, type RunningService, type Stack } from '../../support/stack.ts';

const MiB = 1024 * 1024;
const large = 'x'.repeat(3.8 * MiB);

describe('answers about large tasks', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let api: RunningService;
  let client: Client;
  before(async () => {
    stack = await startStack(cleanup, { GRPC_PORT: String(await freePort()) });
    api = await stack.start('api', { NODE_OPTIONS: '--max-old-space-size=400' });
    client = await new ClientFactory({
      transports: [new GrpcTransportFactory()],
      preferredTransports: ['GRPC'],
    }).createFromUrl(stack.apiUrl);
  });

  async function send(texts: string[], more: object = {}): Promise<string> {
    const parts = texts.map((text) => ({ text }));
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts, ...more };
    const configuration = { returnImmediately: true };
    const { result, error }: JsonRpcAnswer = await stack.rpc('SendMessage', { message, configuration });
    assert.equal(error, undefined);
    return result.task.id;
  }

  async function sendMany(count: number, texts: string[], contextId: string): Promise<Set<string>> {
    const ids = new Set<string>();
    for (let sent = 0; sent < count; sent++) ids.add(await send(texts, { contextId }));
    return ids;
  }

  const list = (contextId: string, pageToken: string, historyLength: number) =>
    client.listTasks({
      tenant: '',
      contextId,
      status: 0,
      pageSize: 100,
      pageToken,
      historyLength,
      statusTimestampAfter: undefined,
      includeArtifacts: true,
    });

  /** Reads all pages. Returns the tasks of each. */
  async function listPages(contextId: string, total: number, historyLength = 1): Promise<string[][]> {
    const pages: string[][] = [];
    let token = '';
    do {
      const { tasks, nextPageToken, totalSize, pageSize } = await list(contextId, token, historyLength);
      assert.deepEqual([totalSize, pageSize], [total, 100]);
      pages.push(tasks.map(({ id }) => id));
      token = nextPageToken;
    } while (token !== '');
    return pages;
  }

  const sizeOf = async (method: string, params: object) =>
    Buffer.byteLength(JSON.stringify(await stack.rpc(method, params)));

  test('lists tasks whose messages are too large for any answer without them', async () => {
    const contextId = randomUUID();
    const ids = await sendMany(8, [large, large], contextId);
    const pages = await listPages(contextId, 8);
    assert.deepEqual(new Set(pages.flat()), ids);
    assert.equal(pages.length, 1);
    const lists = Array.from({ length: 10 }, () =>
      stack.rpc('ListTasks', { contextId, pageSize: 100, historyLength: 5, includeArtifacts: true }),
    );
    for (const { result } of await Promise.all(lists)) assert.equal(result.tasks.length, 8);
    assert.equal(api.running.child.exitCode, null);
  });

  test('ends a page of tasks when it is full', async () => {
    const contextId = randomUUID();
    const ids = await sendMany(12, ['x'.repeat(MiB)], contextId);
    const pages = await listPages(contextId, 12);
    assert.deepEqual(
      pages.map((page) => page.length),
      [3, 3, 3, 3],
    );
    assert.deepEqual(new Set(pages.flat()), ids);
    assert.ok((await sizeOf('ListTasks', { contextId, pageSize: 100, historyLength: 1 })) < 4 * MiB);
    assert.equal((await list(contextId, '', 0)).tasks.length, 12);
  });

  test('trims the history of a task to its newest messages that fit', async () => {
    const taskId = await send(['first']);
    for (const texts of [[large, large], ['x'.repeat(2 * MiB)], ['x'.repeat(MiB)], ['last']]) {
      await send(texts, { taskId });
    }
    const { history } = await client.getTask({ tenant: '', id: taskId, historyLength: undefined });
    const lengths = history.map(({ parts: [part] }) =>
      part?.content?.$case === 'text' ? part.content.value.length : -1,
    );
    assert.deepEqual(lengths, [2 * MiB, MiB, 4]);
    for (const [method, params] of [
      ['GetTask', { id: taskId }],
      ['ListTasks', { historyLength: 100 }],
      ['CancelTask', { id: taskId }],
    ] as const) {
      assert.ok((await sizeOf(method, params)) < 4 * MiB, method);
    }
  });

  test('counts numbers as the bytes that they take over gRPC', async () => {
    const data = Array.from({ length: 49_000 }, () => 1);
    const taskId = await send(['first']);
    for (let count = 0; count < 10; count++) {
      const message = { messageId: randomUUID(), role: 'ROLE_USER', taskId, parts: [{ data }] };
      await stack.rpc('SendMessage', { message, configuration: { returnImmediately: true } });
    }
    const { history } = await client.getTask({ tenant: '', id: taskId, historyLength: undefined });
    assert.equal(history.length, 6);
  });

  test('refuses too many values over gRPC', async () => {
    const data = Array.from({ length: 50_000 }, () => ({}));
    const parts = [{ text: 'a' }, { data }];
    const request = SendMessageRequest.fromJSON({
      message: { messageId: randomUUID(), role: 'ROLE_USER', parts },
    });
    await assert.rejects(
      client.sendMessage(request),
      /message\.parts\[1\]\.data brings the request to more than 50000 JSON values/,
    );
  });

  test('survives many reads of large tasks at once', async () => {
    const taskIds = await Promise.all(
      Array.from({ length: 5 }, () => send([large.slice(0, 3 * MiB), 'small'])),
    );
    const reads = Array.from({ length: 20 }, (_, index) =>
      stack.rpc('GetTask', { id: taskIds[index % 5] ?? '' }),
    );
    for (const { result } of await Promise.all(reads)) assert.equal(result.history.length, 1);
    assert.equal(api.running.child.exitCode, null);
  });
});
