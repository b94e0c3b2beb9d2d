/** The JSON-RPC binding on the wire: envelopes, HTTP statuses, notifications and versions. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Task } from '@a2a-js/sdk';
import { InternalError } from '#services/api/handler/errors.ts';
import { QuotaExceededError } from '#services/api/limits/quota-error.ts';
import { bodyLimitBytes, getTask, startApiServer } from '../../support/services/api-server.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import type { AnyJson } from '../../support/clients/any-json.ts';

const v03 = { 'a2a-version': '0.3' };

describe('JSON-RPC', () => {
  const cleanup = createSuiteCleanup();
  let url: string;
  before(async () => {
    ({ url } = await startApiServer(cleanup, { getTask }));
  });

  async function post(body: unknown, headers: Record<string, string> = {}, baseUrl = url) {
    const response = await fetch(`${baseUrl}/a2a/jsonrpc`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'a2a-version': '1.0', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, json: text && JSON.parse(text) };
  }

  function createRequest(more: object = {}, id = 'x') {
    return { jsonrpc: '2.0', id: 1, method: 'GetTask', params: { id }, ...more };
  }

  function postV03(id: string) {
    return post(createRequest({ method: 'tasks/get' }, id), v03);
  }

  test('echoes request ids that are strings, numbers or null', async () => {
    for (const id of ['text', 7, null]) {
      const { json, status } = await post(createRequest({ id }));
      assert.deepEqual([status, json.id, json.result.id], [200, id, 'x']);
    }
  });

  test('echoes numbers as ids exactly', async () => {
    for (const id of ['1795914318653123457', '-9007199254740993', '123456789012345678901234567890']) {
      const nested = `{"id":"x","metadata":{"id":12345678901234567890,"":{"id":9}}}`;
      const body = `{"jsonrpc":"2.0","id":1,"method":"GetTask","params":${nested},"id":${id}}`;
      const response = await fetch(`${url}/a2a/jsonrpc`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'a2a-version': '1.0' },
        body,
      });
      assert.match(await response.text(), new RegExp(`^{"jsonrpc":"2.0","id":${id},"result":{"id":"x"`));
    }
    for (const id of [1.5, '1e999', `1${'0'.repeat(300)}`]) {
      const { json } = await post(`{"jsonrpc":"2.0","id":${id},"method":"GetTask","params":{"id":"x"}}`);
      assert.match(json.error.message, /id must be a string .* a whole number or null/);
    }
  });

  test('refuses bodies that are compressed or not in UTF-8', async () => {
    const send = async (body: Buffer, headers: Record<string, string>) => {
      const all = { 'content-type': 'application/json', 'a2a-version': '1.0', ...headers };
      const response = await fetch(`${url}/a2a/jsonrpc`, {
        method: 'POST',
        headers: all,
        body: new Uint8Array(body),
      });
      const { error } = (await response.json()) as AnyJson;
      return [response.status, error?.code, error?.message];
    };
    const json = JSON.stringify(createRequest({}, 'Gr\u00fc\u00dfe'));
    assert.deepEqual(await send(gzipSync(json), { 'content-encoding': 'gzip' }), [
      415,
      -32600,
      'the body is encoded as gzip: send it without Content-Encoding',
    ]);
    assert.deepEqual(
      await send(Buffer.from(json, 'latin1'), { 'content-type': 'application/json; charset=iso-8859-1' }),
      [415, -32600, 'the body has the charset iso-8859-1: send it in UTF-8'],
    );
    const raw = await send(Buffer.from(json, 'latin1'), {});
    assert.deepEqual(raw, [200, -32700, 'the body is not valid JSON: it must be in UTF-8']);
    const marked = await send(Buffer.from(`\ufeff${json}`), { 'content-encoding': 'identity' });
    assert.deepEqual(marked, [200, undefined, undefined]);
  });

  test('warns in a header about fields that look like known ones', async () => {
    const params = { id: 'x', history_lengths: 1, tenant: null };
    const { json, headers } = await post(createRequest({ params }));
    assert.equal(json.result.id, 'x');
    assert.equal(
      headers.get('longhaul-warning'),
      'history_lengths is unknown and was ignored: did you mean historyLength?',
    );
    const refused = await post(createRequest({ params: { ...params, id: 'none' } }));
    assert.deepEqual([refused.json.error.code, refused.headers.has('longhaul-warning')], [-32001, true]);
  });

  test('answers invalid requests with HTTP 200 and a code of JSON-RPC', async () => {
    const invalid: [unknown, number, unknown][] = [
      ['{', -32700, null],
      ['[]', -32600, null],
      ['"x"', -32600, null],
      [createRequest({ id: {} }), -32600, null],
      [createRequest({ jsonrpc: '1.0' }), -32600, 1],
      [createRequest({ method: 3 }), -32600, 1],
      [createRequest({ params: [1] }), -32602, 1],
      [createRequest({ params: { id: 'x', tenant: 4 } }), -32602, 1],
      [createRequest({ method: 'Nothing' }), -32601, 1],
      [createRequest({ method: 'toString' }), -32601, 1],
      [createRequest({ method: 'tasks/get' }), -32601, 1],
    ];
    for (const [body, code, id] of invalid) {
      const { json, status } = await post(body);
      assert.deepEqual([status, json.error.code, json.id], [200, code, id], JSON.stringify(body));
    }
  });

  test('answers a body of another media type with 415', async () => {
    const { status, json } = await post(createRequest(), { 'content-type': 'text/plain' });
    assert.deepEqual([status, json.error.code], [415, -32005]);
  });

  test('accepts a charset in the media type', async () => {
    const { json } = await post(createRequest(), { 'content-type': 'application/json; charset=utf-8' });
    assert.equal(json.result.id, 'x');
  });

  test('answers notifications with 204, even if they fail', async () => {
    for (const id of ['x', 'none']) {
      const { jsonrpc, method, params } = createRequest({}, id);
      const { status, json } = await post({ jsonrpc, method, params });
      assert.deepEqual([status, json], [204, '']);
    }
  });

  test('answers an unavailable service with 503 and Retry-After', async () => {
    const { status, headers } = await post(createRequest({}, 'away'));
    assert.deepEqual([status, headers.get('retry-after')], [503, '2']);
  });

  test('reports the errors of A2A 0.3 to its clients', async () => {
    const away = await postV03('away');
    assert.deepEqual([away.status, away.json.error.code], [503, -32603]);
    assert.equal((await postV03('broken')).json.error.message, InternalError.text);
    assert.equal((await postV03('none')).json.error.code, -32001);
  });

  test('answers callers of A2A 0.3 at a limit with 429 and details', async (t) => {
    const refuse = (): never => {
      throw new QuotaExceededError({ limit: 'modelCostPerDay', used: 1, max: 1, wanted: 0 });
    };
    const { url: refusingUrl } = await startApiServer(t, {
      sendMessage: async () => refuse(),
      getTask: async () => refuse(),
      cancelTask: async () => refuse(),
      // oxlint-disable-next-line require-yield -- fails before its first event
      sendMessageStream: async function* () {
        refuse();
      },
      createTaskPushNotificationConfig: async () => refuse(),
      listTaskPushNotificationConfigs: async () => refuse(),
    });
    const message = { kind: 'message', messageId: 'm', role: 'user', parts: [{ kind: 'text', text: 'hi' }] };
    const calls: [string, object][] = [
      ['message/send', { message }],
      ['message/stream', { message }],
      ['tasks/get', { id: 'x' }],
      ['tasks/cancel', { id: 'x' }],
      [
        'tasks/pushNotificationConfig/set',
        { taskId: 'x', pushNotificationConfig: { url: 'https://a.example' } },
      ],
      ['tasks/pushNotificationConfig/list', { id: 'x' }],
    ];
    for (const [method, params] of calls) {
      const { status, headers, json } = await post(
        { jsonrpc: '2.0', id: 1, method, params },
        v03,
        refusingUrl,
      );
      assert.equal(status, 429, `${method}: ${JSON.stringify(json)}`);
      assert.ok(Number(headers.get('retry-after')) > 0, method);
      assert.match(json.error.message, /your limit per day is 1/);
      assert.equal(json.error.data[0].reason, 'OWNER_LIMIT_EXCEEDED', method);
    }
  });

  test('answers a body above the limit with 413', async () => {
    const { status, json } = await post(createRequest({ params: { id: 'x'.repeat(bodyLimitBytes) } }));
    assert.deepEqual([status, json.error.code], [413, -32600]);
  });

  test('accepts the version in the query', async () => {
    const response = await fetch(`${url}/a2a/jsonrpc?A2A-Version=1.0`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(createRequest()),
    });
    assert.equal(((await response.json()) as { result: Task }).result.id, 'x');
  });

  test('names the version header when a method of 1.0 is called without it', async () => {
    const { json } = await post(createRequest(), { 'a2a-version': '' });
    assert.match(json.error.message, /GetTask is a method of A2A 1\.0: send the header A2A-Version: 1\.0/);
  });
});
