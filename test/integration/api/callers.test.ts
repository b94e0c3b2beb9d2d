/** Access to the api service on the wire: credentials, response headers, CORS, polling and limits. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/services/api-keys.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { postJsonRpc } from '../../support/clients/json-rpc.ts';
import { freePort } from '../../support/network/ports.ts';
import { createRawGrpc } from '../../support/clients/raw-bindings.ts';
import { startStack, type RunningService, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

const origin = 'https://app.example';

describe('access to the api service', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let api: RunningService;
  let grpcTarget: string;

  before(async () => {
    const grpcPort = await freePort();
    grpcTarget = `127.0.0.1:${grpcPort}`;
    stack = await startStack(cleanup, {
      ...apiKeysEnv(),
      CORS_ORIGINS: `${origin},https://other.example`,
      MAX_STREAMS_PER_CALLER: '2',
      MAX_STREAMS: '3',
      GRPC_PORT: String(grpcPort),
    });
    api = await stack.start('api');
  });

  function get(pathname: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${stack.apiUrl}${pathname}`, { headers });
  }

  function listTasks(headers: Record<string, string> = {}): Promise<Response> {
    return postJsonRpc(stack.apiUrl, 'ListTasks', {}, { headers });
  }

  function createMessage(): object {
    return { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'hello' }] };
  }

  // [AUTH-SERVER-002] [CARD-DISC-001]
  test('requires credentials except for health and the agent card', async () => {
    for (const pathname of ['/health/live', '/health/ready', '/.well-known/agent-card.json']) {
      assert.equal((await get(pathname)).status, 200, pathname);
    }
    for (const method of ['GET', 'HEAD']) {
      for (const pathname of [
        '/a2a/v1/tasks',
        '/a2a/v1/tasks/x/',
        '/a2a/v1/tenant/tasks',
        '/a2a/v1/extendedAgentCard',
      ]) {
        assert.equal((await fetch(stack.apiUrl + pathname, { method })).status, 401, `${method} ${pathname}`);
      }
    }
  });

  // [CORE-ERR-003]
  test('answers missing credentials with a challenge and a JSON-RPC error', async () => {
    const response = await listTasks();
    assert.equal(response.status, 401);
    assert.equal(response.headers.get('www-authenticate'), 'ApiKey realm="a2a", header="x-api-key"');
    const { id, error } = (await response.json()) as {
      id: unknown;
      error: { code: number; message: string };
    };
    assert.equal(id, null);
    assert.equal(error.code, -32000);
    assert.match(error.message, /x-api-key/);
  });

  // [AUTH-SECRET-001]
  test('never repeats credentials in answers or logs', async () => {
    const wrong = await listTasks({ 'x-api-key': 'secret-guess' });
    assert.equal(wrong.status, 401);
    assert.doesNotMatch(await wrong.text(), /secret-guess/);
    assert.equal((await listTasks(aliceKey)).status, 200);
    assert.doesNotMatch(api.running.output(), /secret-guess|alice-key/);
  });

  test('forbids content sniffing and storing of private responses', async () => {
    for (const response of [await listTasks(aliceKey), await listTasks(), await get('/nothing')]) {
      assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
      assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'none'/);
      assert.equal(response.headers.get('cache-control'), 'no-store');
      assert.equal(response.headers.get('strict-transport-security'), null, 'PUBLIC_URL is not https');
    }
  });

  test('allows CORS from the configured origins only', async () => {
    const preflight = (from: string) =>
      fetch(`${stack.apiUrl}/a2a/jsonrpc`, {
        method: 'OPTIONS',
        headers: {
          origin: from,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'x-api-key,a2a-version',
        },
      });
    const allowed = await preflight(origin);
    assert.equal(allowed.status, 204);
    assert.equal(allowed.headers.get('access-control-allow-origin'), origin);
    const called = await get('/.well-known/agent-card.json', { origin });
    assert.match(called.headers.get('access-control-expose-headers') ?? '', /(^|, *)X-A2A-Extensions(,|$)/);
    assert.match(allowed.headers.get('access-control-allow-headers') ?? '', /x-api-key/);
    assert.equal((await preflight('https://evil.example')).headers.get('access-control-allow-origin'), null);
    const refused = await listTasks({ origin });
    assert.equal(refused.status, 401);
    assert.equal(refused.headers.get('access-control-allow-origin'), origin, 'a page can read the reason');
  });

  test('varies cacheable answers by origin too', async () => {
    const card = await get('/.well-known/agent-card.json', { origin });
    assert.equal(card.headers.get('vary'), 'Origin, A2A-Version');
    const send = { message: createMessage(), configuration: { returnImmediately: true } };
    const { result } = (await (
      await postJsonRpc(stack.apiUrl, 'SendMessage', send, { headers: aliceKey })
    ).json()) as { result: { task: { id: string } } };
    const headers = { origin, 'a2a-version': '1.0', ...aliceKey };
    const path = `/a2a/v1/tasks/${result.task.id}`;
    const read = await get(path, headers);
    assert.equal(read.headers.get('vary'), 'Origin, A2A-Version, Accept');
    const unchanged = await get(path, { ...headers, 'if-none-match': read.headers.get('etag') ?? '' });
    assert.deepEqual([unchanged.status, unchanged.headers.get('vary')], [304, 'Origin, A2A-Version, Accept']);
  });

  // [BIND-EQUIV-004]
  test('requires credentials over HTTP+JSON', async () => {
    const refused = await get('/a2a/v1/tasks', { 'a2a-version': '1.0' });
    assert.equal(refused.status, 401);
    assert.match(refused.headers.get('www-authenticate') ?? '', /^ApiKey/);
    const { error } = (await refused.json()) as { error: { status: string; message: string } };
    assert.equal(error.status, 'UNAUTHENTICATED');
    assert.match(error.message, /x-api-key/);
    assert.equal((await get('/a2a/v1/tasks', { 'a2a-version': '1.0', ...aliceKey })).status, 200);
  });

  // [BIND-EQUIV-004]
  test('requires credentials over gRPC', async (t) => {
    const { call, close } = createRawGrpc(grpcTarget);
    t.after(close);
    const refused = (await call('ListTasks', {})).error;
    assert.equal(refused?.code, status.UNAUTHENTICATED);
    assert.match(refused.message, /x-api-key/);
    const wrong = await call('ListTasks', {}, { 'x-api-key': 'wrong' });
    assert.equal(wrong.error?.code, status.UNAUTHENTICATED);
    assert.equal((await call('ListTasks', {}, aliceKey)).error, undefined);
  });

  test('revalidates a task by its entity tag and waits for its change', async () => {
    const sent = await postJsonRpc(
      stack.apiUrl,
      'SendMessage',
      { message: createMessage(), configuration: { returnImmediately: true } },
      { headers: aliceKey },
    );
    const { id } = ((await sent.json()) as { result: { task: { id: string } } }).result.task;
    const read = (headers: Record<string, string>, key = aliceKey) =>
      get(`/a2a/v1/tasks/${id}`, { 'a2a-version': '1.0', ...key, ...headers });
    const etag = (await read({})).headers.get('etag') ?? '';
    assert.match(etag, /^"/);
    const unchanged = await read({ 'if-none-match': etag });
    assert.equal(unchanged.status, 304);
    assert.equal(unchanged.headers.get('etag'), etag);
    assert.equal((await read({ 'if-none-match': etag }, bobKey)).status, 404);

    const waiting = read({ 'if-none-match': etag, prefer: 'wait=20' });
    const canceled = await postJsonRpc(stack.apiUrl, 'CancelTask', { id }, { headers: aliceKey });
    assert.equal(canceled.status, 200);
    const changed = await waiting;
    assert.equal(changed.status, 200);
    assert.equal(changed.headers.get('preference-applied'), 'wait=20');
    assert.notEqual(changed.headers.get('etag'), etag);
    assert.match(await changed.text(), /TASK_STATE_CANCELED/);
  });

  test('limits open streams per caller and per process', async (t) => {
    const open = async (key: Record<string, string>) => {
      const disconnect = new AbortController();
      t.after(() => disconnect.abort());
      const response = await postJsonRpc(
        stack.apiUrl,
        'SendStreamingMessage',
        { message: createMessage() },
        { headers: key, signal: disconnect.signal },
      );
      if (response.status === 200) assert.equal(response.headers.get('content-type'), 'text/event-stream');
      return {
        status: response.status,
        retryAfter: response.headers.get('retry-after'),
        close: () => disconnect.abort(),
      };
    };
    const first = await open(aliceKey);
    assert.deepEqual([first.status, (await open(aliceKey)).status], [200, 200]);
    const third = await open(aliceKey);
    assert.equal(third.status, 429);
    assert.ok(Number(third.retryAfter) > 0);
    assert.equal((await open(bobKey)).status, 200);
    assert.equal((await open(bobKey)).status, 429, 'the process has three open streams');
    first.close();
    await waitFor('a closed stream to free its place', async () => (await open(aliceKey)).status === 200, {
      boundMs: 30_000,
    });
  });

  test('limits the rate of each caller and sends Retry-After', async () => {
    const limited = await stack.start('api', { PORT: '0', GRPC_PORT: '', RATE_LIMIT_PER_MINUTE: '3' });
    const call = (key: Record<string, string>) => postJsonRpc(limited.url, 'ListTasks', {}, { headers: key });
    const statuses = [];
    for (let i = 0; i < 4; i += 1) statuses.push((await call(aliceKey)).status);
    assert.deepEqual(statuses, [200, 200, 200, 429]);
    const refused = await call(aliceKey);
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    assert.match(
      await refused.text(),
      /Too many requests: a caller may send \d+ in a minute. Try again in \d+ s/,
    );
    assert.equal((await call(bobKey)).status, 200, 'another caller has its own rate');
    assert.equal((await fetch(`${limited.url}/health/live`)).status, 200);
  });
});
