/**
 * Invalid requests get the error that the specification names, with a message that says what is accepted.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { afterEach, before, describe, test } from 'node:test';
import { A2A_ERROR_CODE as code } from '@a2a-js/sdk/errors';
import { uuidv7 } from '#shared/domain/ids.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import type { JsonRpcAnswer } from '../../support/clients/json-rpc.ts';
import { startStack, type RunningService, type Stack } from '../../support/stack.ts';

describe('errors of the api service', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let api: RunningService;

  before(async () => {
    stack = await startStack(cleanup, {
      BODY_LIMIT_BYTES: String(8 * 1024 * 1024),
      MAX_PART_BYTES: '65536',
    });
    api = await stack.start('api');
  });

  afterEach(() => {
    const errors = /"severity":"(ERROR|CRITICAL)"/;
    assert.doesNotMatch(api.running.output(), errors, 'an invalid request is not an error of the service');
  });

  async function post(
    body: string | Uint8Array,
    headers: Record<string, string> = {},
  ): Promise<JsonRpcAnswer & { http: number; id: unknown }> {
    const response = await fetch(`${stack.apiUrl}/a2a/jsonrpc`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'a2a-version': '1.0', ...headers },
      body,
    });
    assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
    return { http: response.status, ...((await response.json()) as JsonRpcAnswer & { id: unknown }) };
  }

  function createMessage(more: object = {}): object {
    return { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'hello' }], ...more };
  }

  function send(message: object = {}, request: object = {}): Promise<JsonRpcAnswer> {
    return stack.rpc('SendMessage', {
      message: createMessage(message),
      configuration: { returnImmediately: true },
      ...request,
    });
  }

  function sendAccepting(...acceptedOutputModes: string[]): Promise<JsonRpcAnswer> {
    return send({}, { configuration: { returnImmediately: true, acceptedOutputModes } });
  }

  function assertRefused({ error }: JsonRpcAnswer, expected: number, text: RegExp): void {
    assert.equal(error?.code, expected, JSON.stringify(error));
    assert.match(error.message, text);
  }

  test('refuses a body that is nested too deeply', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    assertRefused(await post(deep), code.INVALID_REQUEST, /Batches are not supported/);
    assertRefused(
      await post(`{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"id":${deep}}}`),
      code.INVALID_REQUEST,
      /nested/,
    );
  });

  test('refuses a body with too many values, by its size if it sends no message', async () => {
    const values = `[${'{},'.repeat(60_000)}{}]`;
    for (const method of ['SendMessage', 'GetTask', 'ListTasks', 'DeleteTask']) {
      const body = `{"jsonrpc":"2.0","id":1,"method":"${method}","params":{"id":${values}}}`;
      const reason = method === 'SendMessage' ? /more than 50000 JSON values/ : /larger than 65536 bytes/;
      assertRefused(await post(body), code.INVALID_REQUEST, reason);
      // Without a start that shows its method.
      const turned = `{"params":{"id":${values}},"jsonrpc":"2.0","id":1,"method":"${method}"}`;
      assertRefused(await post(turned), code.INVALID_REQUEST, /more than 50000 JSON values/);
    }
    assertRefused(await post(values), code.INVALID_REQUEST, /Batches are not supported/);
    const rest = await fetch(`${stack.apiUrl}/a2a/v1/message:send`, {
      method: 'POST',
      headers: { 'a2a-version': '1.0', 'content-type': 'application/json' },
      body: `{"message":${values}}`,
    });
    assert.match(await rest.text(), /more than 50000 JSON values/);
  });

  test('does not count what looks like values within strings', async () => {
    const text = String.raw`a"[{,\"`.repeat(9_000);
    assert.equal((await send({ parts: [{ text: text.slice(0, 65_536) }] })).error, undefined);
  });

  test('accepts large bodies for messages only', async () => {
    const padding = 'x'.repeat(65_536);
    for (const [method, version] of [
      ['GetTask', '1.0'],
      ['CreateTaskPushNotificationConfig', '1.0'],
      ['tasks/get', '0.3'],
    ] as const) {
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { id: uuidv7(), padding } });
      const answer = await post(body, { 'a2a-version': version });
      assertRefused(
        answer,
        code.INVALID_REQUEST,
        /larger than 65536 bytes: only requests that send a message may be larger/,
      );
      assert.equal(answer.id, 1);
    }
    const rest = await fetch(`${stack.apiUrl}/a2a/v1/tasks/${uuidv7()}:cancel`, {
      method: 'POST',
      headers: { 'a2a-version': '1.0', 'content-type': 'application/json' },
      body: JSON.stringify({ padding }),
    });
    assert.equal(rest.status, 413);
    assert.match(await rest.text(), /larger than 65536 bytes: only messages may be larger/);
    assert.equal((await send({ metadata: { padding } })).error, undefined);
  });

  // [JSONRPC-FMT-001]
  test('reports invalid requests with the codes of JSON-RPC', async () => {
    assertRefused(await post('{"jsonrpc": "2.0", '), code.PARSE_ERROR, /not valid JSON/);
    assertRefused(await post(''), code.PARSE_ERROR, /not valid JSON/);
    assertRefused(await post(new Uint8Array([0xff, 0xfe, 0x00])), code.PARSE_ERROR, /not valid JSON/);
    assertRefused(await post('[]'), code.INVALID_REQUEST, /Batches/);
    assertRefused(await post('"text"'), code.INVALID_REQUEST, /object/);
    assertRefused(await post('{"jsonrpc":"1.0","id":7,"method":"GetTask"}'), code.INVALID_REQUEST, /2\.0/);
    assertRefused(
      await post('{"jsonrpc":"2.0","id":{},"method":"GetTask"}'),
      code.INVALID_REQUEST,
      /id must be/,
    );
    assertRefused(
      await post(JSON.stringify({ jsonrpc: '2.0', id: 'x'.repeat(257), method: 'GetTask' })),
      code.INVALID_REQUEST,
      /at most 256 characters/,
    );
    const unknown = await post('{"jsonrpc":"2.0","id":"x","method":"DeleteTask","params":{}}');
    assertRefused(unknown, code.METHOD_NOT_FOUND, /./);
    assert.equal(unknown.id, 'x');
    assertRefused(
      await post('{"jsonrpc":"2.0","id":1,"method":"GetTask","params":[1]}'),
      code.INVALID_PARAMS,
      /param/,
    );
  });

  test('answers a body above the limit with 413 before the connection closes', async () => {
    // Many at once: if connections closed too early, some of the clients would not see the answer.
    const body = JSON.stringify({ text: 'x'.repeat(10 * 1024 * 1024) });
    for (const answer of await Promise.all(Array.from({ length: 8 }, () => post(body)))) {
      assert.equal(answer.http, 413);
      assertRefused(answer, code.INVALID_REQUEST, /larger than 8388608 bytes.*URL/);
    }
  });

  test('refuses a body that is not JSON by its media type', async () => {
    for (const [type, http] of [
      ['text/plain', 415],
      ['application/x-www-form-urlencoded', 415],
      ['application/json; charset=utf-8', 200],
    ] as const) {
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ListTasks', params: {} });
      const answer = await post(body, { 'content-type': type });
      assert.equal(answer.http, http, type);
      if (http === 415) assertRefused(answer, code.CONTENT_TYPE_NOT_SUPPORTED, /application\/json/);
    }
  });

  // [CORE-SEND-003]
  test('refuses parts whose media type is not in the card', async () => {
    for (const part of [
      { raw: 'AAAA', mediaType: 'video/mp4' },
      { url: 'https://example.com/x', mediaType: 'image/webp' },
      { text: 'hello', mediaType: 'text/x-unknown' },
      { data: {}, mediaType: 'no type' },
    ]) {
      const answer = await send({ parts: [{ text: 'hello' }, part] });
      assertRefused(answer, code.CONTENT_TYPE_NOT_SUPPORTED, /parts\[1\].*text\/plain/);
    }
  });

  // [CORE-SEND-003]
  test('accepts parts whose media type is in the card, in any spelling', async () => {
    for (const part of [
      { data: { a: 1 } },
      { text: 'hello', mediaType: 'Text/Plain; charset=utf-8' },
      { raw: 'AAAA', filename: 'x.bin' },
    ]) {
      assert.ok((await send({ parts: [part] })).result, JSON.stringify(part));
    }
  });

  test('requires one supported media type in acceptedOutputModes', async () => {
    assertRefused(
      await sendAccepting('image/png'),
      code.CONTENT_TYPE_NOT_SUPPORTED,
      /acceptedOutputModes.*text\/plain/,
    );
    for (const mode of ['text/plain', 'text/*', '*/*', 'text']) {
      assert.ok((await sendAccepting('image/png', mode)).result, mode);
    }
  });

  test('refuses an unsupported protocol version', async () => {
    const answer = await stack.rpc('GetTask', { id: uuidv7() }, { 'a2a-version': '7.3' });
    assertRefused(answer, code.VERSION_NOT_SUPPORTED, /7\.3/);
  });

  // [CORE-ERR-001] [CORE-ERR-002] [CORE-MULTI-002a] [DM-SERIAL-004]
  test('names missing and invalid fields of a message', async () => {
    for (const [more, text] of [
      [{ messageId: '' }, /message\.messageId/],
      [{ messageId: 'x'.repeat(257) }, /message\.messageId.*256/],
      [{ messageId: 'a\u0000b' }, /message\.messageId.*control/],
      [{ messageId: 'a\ud800' }, /message\.messageId.*surrogate/],
      [{ contextId: 'a\nb' }, /message\.contextId/],
      [{ role: 'ROLE_AGENT' }, /message\.role/],
      [{ role: undefined }, /message\.role/],
      [{ parts: [] }, /message\.parts/],
      [{ parts: [{ filename: 'empty' }] }, /message\.parts\[0\]/],
      [{ parts: [{ text: '', data: { a: 1 } }] }, /message\.parts\[0\] has text and data: send only one/],
      [{ parts: [{ text: {} }] }, /message\.parts\[0\]\.text must be a string/],
      [{ parts: [{ text: 'a' }, { text: 'x'.repeat(65_537) }] }, /message\.parts\[1\] has 65537 bytes/],
      [{ parts: [{ raw: Buffer.alloc(65_537).toString('base64') }] }, /65537 bytes/],
      [{ parts: [{ data: { deep: createNested(101) } }] }, /message\.parts\[0\]\.data is nested/],
      [{ metadata: { deep: createNested(101) } }, /message\.metadata is nested/],
    ] as const) {
      assertRefused(await send(more), code.INVALID_PARAMS, text);
    }
    assertRefused(await stack.rpc('SendMessage', {}), code.INVALID_PARAMS, /message is missing/);
    assertRefused(
      await send({}, { metadata: { deep: createNested(101) } }),
      code.INVALID_PARAMS,
      /metadata is nested/,
    );
    assertRefused(
      await send({}, { configuration: { historyLength: -1 } }),
      code.INVALID_PARAMS,
      /historyLength.*not -1/,
    );
    assertRefused(await send({}, { tenant: 'a\u0000' }), code.INVALID_PARAMS, /tenant/);
  });

  test('bounds what one message may hold', async () => {
    const url = { url: 'https://example.com/a.pdf', mediaType: 'application/pdf' };
    const many = (count: number, item: unknown) => Array.from({ length: count }, () => item);
    const longText = 'x'.repeat(2_000);
    for (const [more, text] of [
      [{ parts: many(101, { text: 'a' }) }, /message\.parts has 101 parts: send at most 100/],
      [{ parts: many(21, url) }, /message\.parts has 21 files by URL: send at most 20/],
      [{ parts: [{ url: `https://example.com/${'x'.repeat(8_192)}` }] }, /parts\[0\]\.url has 8212 char/],
      [{ parts: [{ text: 'a', filename: longText }] }, /parts\[0\]\.filename has 2000 characters/],
      [{ parts: [{ text: 'a', mediaType: longText }] }, /parts\[0\]\.mediaType has 2000 characters/],
      [{ referenceTaskIds: many(101, uuidv7()) }, /message\.referenceTaskIds has 101 ids/],
      [{ extensions: many(101, 'https://example.com/x') }, /message\.extensions has 101 URIs/],
      [{ extensions: [longText] }, /message\.extensions has 2000 characters/],
    ] as const) {
      assertRefused(await send(more), code.INVALID_PARAMS, text);
    }
    assertRefused(
      await sendAccepting(...many(101, 'a/b').map(String)),
      code.INVALID_PARAMS,
      /101 media types/,
    );
    assertRefused(
      await send({}, { metadata: { text: 'x'.repeat(65_536) } }),
      code.INVALID_PARAMS,
      /metadata has 65547 bytes as JSON: send at most 65536/,
    );
    const controls = many(100, { text: '\u0001'.repeat(14_000) });
    assertRefused(await send({ parts: controls }), code.INVALID_REQUEST, /larger than 8388608 bytes/);
    assert.equal((await send({ parts: many(100, { text: 'a' }) })).error, undefined);
    assert.equal((await send({ parts: many(20, url) })).error, undefined);
  });

  test('names parts of A2A 0.3 without content', async () => {
    for (const [part, text] of [
      [{ kind: 'text' }, /parts\[0\].text is missing/],
      [{ kind: 'text', text: 5 }, /parts\[0\]\.text must be a string/],
      [{ kind: 'file', file: { uri: 5 } }, /parts\[0\]\.file\.uri must be a string/],
      [{ kind: 'file', file: { uri: 'https://example.com/a', name: 5 } }, /parts\[0\]\.file\.name must be/],
      [{ kind: 'data' }, /parts\[0\]\.data is missing/],
    ] as const) {
      const message = { kind: 'message', messageId: randomUUID(), role: 'user', parts: [part] };
      const answer = await stack.rpc('message/send', { message }, { 'a2a-version': '0.3' });
      assertRefused(answer, code.INVALID_PARAMS, text);
    }
  });

  test('accepts content that is exactly at its limits', async () => {
    assert.equal((await send({ parts: [{ text: 'x'.repeat(65_536) }] })).error, undefined);
    assert.equal((await send({ parts: [{ data: { deep: createNested(90) } }] })).error, undefined);
  });

  test('refuses lists with invalid filters', async () => {
    for (const [params, text] of [
      [{ pageSize: 0 }, /pageSize/],
      [{ pageSize: 101 }, /pageSize/],
      [{ pageSize: 1e300 }, /pageSize/],
      [{ pageToken: 'made up' }, /pageToken/],
      [{ historyLength: 1e10 }, /historyLength/],
      [{ contextId: 'a\u0000' }, /contextId/],
      [{ statusTimestampAfter: 'yesterday' }, /statusTimestampAfter/],
      [{ statusTimestampAfter: '+275760-09-13T00:00:00Z' }, /statusTimestampAfter/],
      [{ statusTimestampAfter: '-271820-01-01T00:00:00Z' }, /statusTimestampAfter/],
    ] as const) {
      assertRefused(await stack.rpc('ListTasks', params), code.INVALID_PARAMS, text);
    }
    assert.ok((await stack.rpc('ListTasks', { historyLength: 2 ** 31 - 1 })).result);
    assert.ok((await stack.rpc('ListTasks', { statusTimestampAfter: '0001-01-01T00:00:00Z' })).result);
  });

  test('refuses numbers that have no form in JSON', async () => {
    for (const part of ['{"data":1e999}', '{"data":{"a":[-1e999]}}', '{"text":"a","metadata":{"a":1e999}}']) {
      const message = `{"messageId":"${randomUUID()}","role":"ROLE_USER","parts":[${part}]}`;
      const answer = await post(
        `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":${message}}}`,
      );
      assertRefused(answer, code.INVALID_PARAMS, /has a number that is too large/);
    }
  });

  test('refuses ids of webhook configs that a path cannot hold', async () => {
    const { id: taskId } = (await send()).result.task;
    const url = 'http://127.0.0.1:9/';
    for (const id of [' ', '..', '.', 'caf\u00e9', 'a/b', 'a b', 'a%20b', 'a?b', 'a#b']) {
      const answer = await stack.rpc('CreateTaskPushNotificationConfig', { taskId, id, url });
      assertRefused(
        answer,
        code.INVALID_PARAMS,
        /id has characters that are not allowed: use letters, digits/,
      );
      const sent = { configuration: { taskPushNotificationConfig: { id, url } } };
      assertRefused(await send({}, sent), code.INVALID_PARAMS, /id has characters that are not allowed/);
    }
    const legacy = { taskId, pushNotificationConfig: { id: '..', url } };
    assertRefused(
      await stack.rpc('tasks/pushNotificationConfig/set', legacy, { 'a2a-version': '0.3' }),
      code.INVALID_PARAMS,
      /id has characters that are not allowed/,
    );
    for (const id of ['a', '...', 'a:b@c', uuidv7(), 'A-1._~', 'a=,;+']) {
      assert.ok((await stack.rpc('CreateTaskPushNotificationConfig', { taskId, id, url })).result, id);
      const path = `${stack.apiUrl}/a2a/v1/tasks/${taskId}/pushNotificationConfigs/${id}`;
      assert.equal((await fetch(path, { headers: { 'a2a-version': '1.0' } })).status, 200, id);
    }
    const refused = await stack.rpc('CreateTaskPushNotificationConfig', { taskId, url: 'ftp://a.example' });
    assertRefused(refused, code.INVALID_PARAMS, /url is not valid: .* Send an https URL of a public host/);
  });

  // [CORE-MULTI-004]
  test('reports a missing task in every operation', async () => {
    for (const id of [uuidv7(), 'no-uuid', `${uuidv7()}'; drop table tasks`, 'a\u0000']) {
      for (const method of ['GetTask', 'CancelTask', 'SubscribeToTask']) {
        assertRefused(await stack.rpc(method, { id }), code.TASK_NOT_FOUND, /was not found/);
      }
      const webhook = { taskId: id, id: 'x' };
      assertRefused(
        await stack.rpc('GetTaskPushNotificationConfig', webhook),
        code.TASK_NOT_FOUND,
        /was not found|no webhook/,
      );
      for (const method of ['ListTaskPushNotificationConfigs', 'DeleteTaskPushNotificationConfig']) {
        assertRefused(await stack.rpc(method, webhook), code.TASK_NOT_FOUND, /was not found/);
      }
    }
    assertRefused(await send({ taskId: uuidv7() }), code.TASK_NOT_FOUND, /was not found/);
  });

  test('asks for the id of a task that is missing', async () => {
    for (const method of ['GetTask', 'CancelTask', 'SubscribeToTask']) {
      for (const params of [{}, { id: '' }]) {
        assertRefused(await stack.rpc(method, params), code.INVALID_PARAMS, /^id is missing or empty/);
      }
    }
  });

  test('refuses a messageId that was used with other content', async () => {
    const first = createMessage();
    const { result } = await send(first);
    assert.equal((await send(first)).result.task.id, result.task.id, 'a repeat is not an error');
    assertRefused(
      await send({ ...first, parts: [{ text: 'other' }] }),
      code.INVALID_PARAMS,
      /messageId .* was already used/,
    );
  });

  // [CORE-MULTI-006]
  test('refuses a message with another context than its task', async () => {
    const { id: taskId } = (await send()).result.task;
    const answer = await send({ taskId, contextId: uuidv7() });
    assertRefused(answer, code.INVALID_PARAMS, /is not the context of task/);
  });

  // [CORE-SEND-002]
  test('refuses messages, cancels and subscriptions once a task has ended', async () => {
    const { id: taskId, contextId } = (await send()).result.task;
    assert.equal((await stack.rpc('CancelTask', { id: taskId })).error, undefined);
    assertRefused(
      await send({ taskId }),
      code.UNSUPPORTED_OPERATION,
      new RegExp(`has ended.*contextId ${contextId}`),
    );
    assertRefused(
      await stack.rpc('CancelTask', { id: taskId }),
      code.TASK_NOT_CANCELABLE,
      /has already ended/,
    );
    assertRefused(
      await stack.rpc('SubscribeToTask', { id: taskId }),
      code.UNSUPPORTED_OPERATION,
      /has ended/,
    );
  });

  // [CORE-CAP-003]
  test('refuses the extended card if the agent has none', async () => {
    const answer = await stack.rpc('GetExtendedAgentCard', {});
    assertRefused(answer, code.UNSUPPORTED_OPERATION, /no extended card/);
  });

  test('points to the agent card when a path is unknown', async () => {
    const response = await fetch(`${stack.apiUrl}/a2a/nothing`);
    assert.equal(response.status, 404);
    assert.match(await response.text(), /agent-card\.json/);
  });
});

function createNested(depth: number): unknown {
  let value: unknown = 'deep';
  for (let i = 0; i < depth; i += 1) value = i % 2 === 0 ? [value] : { value };
  return value;
}
