/** The scopes of credentials, and the open calls of credentials that end. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { sha256 } from '../../support/services/api-keys.ts';
import { startApiService, type TestApiService } from '../../support/services/api-service.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import type { RawBinding } from '../../support/clients/raw-bindings.ts';
import { readSse, type SseEvent } from '../../support/clients/sse.ts';
import { writeTempFile } from '../../support/temp-dir.ts';

const key = (name: string): Record<string, string> => ({ 'x-api-key': `${name}-key` });
const entry = (name: string, options = ''): string => `ada:${sha256(`${name}-key`)}:${name} ${options}\n`;
const versioned = { 'a2a-version': '1.0' };

const permanent = [
  entry('full'),
  entry('reader', 'scopes=read'),
  entry('sender', 'scopes=send'),
  entry('operator', 'scopes=operator'),
].join('');

function createSend(taskId?: string): { message: object; configuration: object } {
  const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'hi' }] };
  return {
    message: { ...message, ...(taskId !== undefined && { taskId }) },
    configuration: { returnImmediately: true },
  };
}

describe('credentials', () => {
  const cleanup = createSuiteCleanup();
  let api: TestApiService;
  let file: string;
  let taskId: string;
  before(async () => {
    file = writeTempFile(cleanup, 'keys', permanent + entry('short'));
    api = await startApiService(cleanup, {
      AUTH_MODES: 'api-key',
      API_KEYS_FILE: file,
      SECRETS_REFRESH_SECONDS: '0.05',
    });
    const { result } = await api.bindings[0]!.call('SendMessage', createSend(), key('full'));
    taskId = result.task.id;
  });

  function get(path: string, headers: Record<string, string>, method = 'GET'): Promise<Response> {
    return fetch(`${api.url}${path}`, { method, headers: { ...versioned, ...headers } });
  }

  /** The codes of JSON-RPC, HTTP and gRPC. */
  const forbidden: Readonly<Record<RawBinding['name'], number>> = {
    JSONRPC: -32000,
    'HTTP+JSON': 403,
    GRPC: 7,
  };
  /** Over HTTP, the status of a stream has been sent: the error is its last event. */
  const ended: Readonly<Record<RawBinding['name'], number>> = {
    JSONRPC: -32000,
    'HTTP+JSON': 200,
    GRPC: 16,
  };

  test('permit the operations of their scopes only, in every binding', async () => {
    const config = { taskId, id: 'c', url: 'http://127.0.0.1:9/hook' };
    const operations: [operation: string, params: Record<string, unknown>, scope: string][] = [
      ['SendMessage', createSend(), 'send'],
      ['CancelTask', { id: taskId }, 'send'],
      ['CreateTaskPushNotificationConfig', config, 'send'],
      ['DeleteTaskPushNotificationConfig', { taskId, id: 'c' }, 'send'],
      ['GetTask', { id: taskId }, 'read'],
      ['ListTasks', {}, 'read'],
      ['GetTaskPushNotificationConfig', { taskId, id: 'c' }, 'read'],
      ['ListTaskPushNotificationConfigs', { taskId }, 'read'],
    ];
    for (const binding of api.bindings) {
      for (const [operation, params, scope] of operations) {
        const refused = scope === 'send' ? 'reader' : 'sender';
        for (const name of [refused, 'operator']) {
          const { error } = await binding.call(operation, params, key(name));
          assert.equal(error?.code, forbidden[binding.name], `${binding.name} ${operation} by ${name}`);
          assert.match(error.message, new RegExp(`^${operation} needs the scope ${scope}, and .* only: `));
        }
      }
      for (const [operation, params, name] of [
        ['SendStreamingMessage', createSend(), 'reader'],
        ['SubscribeToTask', { id: taskId }, 'sender'],
      ] as const) {
        const first = (await binding.stream(operation, params, undefined, key(name)).next()).value;
        assert.equal(first?.error?.code, forbidden[binding.name], `${binding.name} ${operation}`);
      }
    }
    const { result } = await api.bindings[0]!.call('GetTask', { id: taskId }, key('reader'));
    assert.equal(result.status.state, 'TASK_STATE_SUBMITTED');
    const sent = await api.bindings[0]!.call('SendMessage', createSend(), key('sender'));
    assert.equal(sent.error, undefined);
  });

  test('permit the routes of their scopes only', async () => {
    const routes: [route: string, name: string, status: number][] = [
      ['GET /a2a/v1/stats', 'reader', 200],
      ['GET /a2a/v1/stats', 'sender', 403],
      ['GET /a2a/v1/feed', 'sender', 403],
      [`GET /a2a/v1/tasks/${taskId}/webhooks`, 'sender', 403],
      [`POST /a2a/v1/tasks/${taskId}/webhooks/c/test`, 'reader', 403],
      ['DELETE /a2a/v1/schedules/s', 'reader', 403],
      ['DELETE /a2a/v1/schedules/s', 'sender', 404],
      [`GET /files/${taskId}/${sha256('f')}`, 'sender', 403],
      [`GET /a2a/v1/tasks/${taskId}`, 'sender', 403],
    ];
    for (const [route, name, status] of routes) {
      const [method, path = ''] = route.split(' ');
      const response = await get(path, { ...key(name), 'if-none-match': '"x"' }, method);
      assert.equal(response.status, status, `${route} by ${name}: ${await response.text()}`);
    }
  });

  test('are refused with status 403 in A2A 0.3 too', async () => {
    for (const method of ['message/send', 'message/stream', 'tasks/cancel']) {
      const message = {
        kind: 'message',
        messageId: 'm',
        role: 'user',
        parts: [{ kind: 'text', text: 'hi' }],
      };
      const response = await fetch(`${api.url}/a2a/jsonrpc`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...key('reader') },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { id: taskId, message } }),
      });
      const { error } = (await response.json()) as { error: { code: number; message: string } };
      assert.deepEqual([response.status, error.code], [403, -32000], method);
      assert.match(error.message, /needs the scope send/);
    }
  });

  test('end their open calls when they are removed from the file', async () => {
    const subscribe = api.bindings.map((binding) => ({
      binding,
      events: binding.stream('SubscribeToTask', { id: taskId }, undefined, key('short')),
    }));
    for (const { binding, events } of subscribe) {
      assert.equal((await events.next()).value?.error, undefined, binding.name);
    }
    const feed = readSse(await get('/a2a/v1/feed', key('short')));
    const { headers } = await get(`/a2a/v1/tasks/${taskId}`, key('full'));
    const poll = get(`/a2a/v1/tasks/${taskId}`, {
      ...key('short'),
      'if-none-match': headers.get('etag') ?? '',
      prefer: 'wait=60',
    });
    const send = api.bindings[1]!.call('SendMessage', { ...createSend(), configuration: {} }, key('short'));
    const kept = api.bindings[0]!.stream('SubscribeToTask', { id: taskId }, undefined, key('full'));
    await kept.next();

    writeFileSync(file, permanent);
    for (const { binding, events } of subscribe) {
      const { value } = await events.next();
      assert.equal(value?.error?.code, ended[binding.name], binding.name);
      assert.match(value?.error?.message ?? '', /revoked/);
      assert.equal((await events.next()).done, true);
    }
    let last: SseEvent | undefined;
    for await (const event of feed) last = event;
    assert.equal(last?.data.error.status, 'UNAUTHENTICATED');
    assert.equal((await poll).status, 401);
    assert.equal((await send).error?.code, 401);
    assert.equal((await get('/a2a/v1/stats', key('short'))).status, 401);

    // The other key of the same owner is not affected.
    await api.bindings[0]!.call('CancelTask', { id: taskId }, key('full'));
    assert.equal((await kept.next()).value?.result.statusUpdate.status.state, 'TASK_STATE_CANCELED');
  });
});
