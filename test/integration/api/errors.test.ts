/** What the front door says to requests that are wrong: the error that the specification names, whatever is wrong. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { A2A_ERROR_CODE as code } from '@a2a-js/sdk/errors';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { JsonRpcAnswer } from '../../support/json-rpc.ts';
import { startStack } from '../../support/stack.ts';

const taskNotFound = -32001;
const taskNotCancelable = -32002;
const unsupportedOperation = -32004;
const contentTypeNotSupported = -32005;
const versionNotSupported = -32009;

test('wrong requests', async (t) => {
  const stack = await startStack(t, { BODY_LIMIT_BYTES: String(8 * 1024 * 1024), MAX_PART_BYTES: '65536' });
  const api = await stack.start('api');

  const post = async (
    body: string | Uint8Array,
    headers: Record<string, string> = {},
  ): Promise<JsonRpcAnswer & { http: number; id: unknown }> => {
    const response = await fetch(`${stack.apiUrl}/a2a/jsonrpc`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'a2a-version': '1.0', ...headers },
      body,
    });
    assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
    return { http: response.status, ...((await response.json()) as JsonRpcAnswer & { id: unknown }) };
  };
  const message = (more: object = {}) => ({
    messageId: randomUUID(),
    role: 'ROLE_USER',
    parts: [{ text: 'hello' }],
    ...more,
  });
  const send = (more: object = {}, request: object = {}): Promise<JsonRpcAnswer> =>
    stack.rpc('SendMessage', {
      message: message(more),
      configuration: { returnImmediately: true },
      ...request,
    });
  const refused = ({ error }: JsonRpcAnswer, expected: number, text: RegExp): void => {
    assert.equal(error?.code, expected, JSON.stringify(error));
    assert.match(error.message, text);
  };

  await t.test('what is nested too deeply is not looked into', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    refused(await post(deep), code.INVALID_REQUEST, /nested/);
    refused(
      await post(`{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":${deep}}}`),
      code.INVALID_REQUEST,
      /nested/,
    );
  });

  // [JSONRPC-FMT-001]
  await t.test('what is not JSON-RPC is told in the terms of JSON-RPC', async () => {
    refused(await post('{"jsonrpc": "2.0", '), code.PARSE_ERROR, /not valid JSON/);
    refused(await post(''), code.PARSE_ERROR, /not valid JSON/);
    refused(await post(new Uint8Array([0xff, 0xfe, 0x00])), code.PARSE_ERROR, /not valid JSON/);
    refused(await post('[]'), code.INVALID_REQUEST, /Batches/);
    refused(await post('"text"'), code.INVALID_REQUEST, /object/);
    refused(await post('{"jsonrpc":"1.0","id":7,"method":"GetTask"}'), code.INVALID_REQUEST, /2\.0/);
    refused(await post('{"jsonrpc":"2.0","id":{},"method":"GetTask"}'), code.INVALID_REQUEST, /id must be/);
    const unknown = await post('{"jsonrpc":"2.0","id":"x","method":"DeleteTask","params":{}}');
    refused(unknown, code.METHOD_NOT_FOUND, /./);
    assert.equal(unknown.id, 'x');
    refused(
      await post('{"jsonrpc":"2.0","id":1,"method":"GetTask","params":[1]}'),
      code.INVALID_PARAMS,
      /param/,
    );
  });

  await t.test('a body above the limit is refused, and the client hears of it', async () => {
    // Many at once: a connection that is closed too soon would break some of them off.
    const body = JSON.stringify({ text: 'x'.repeat(10 * 1024 * 1024) });
    for (const answer of await Promise.all(Array.from({ length: 8 }, () => post(body)))) {
      assert.equal(answer.http, 413);
      refused(answer, code.INVALID_REQUEST, /larger than 8388608 bytes.*URL/);
    }
  });

  await t.test('a body of another type', async () => {
    for (const [type, http] of [
      ['text/plain', 415],
      ['application/x-www-form-urlencoded', 415],
      ['application/json; charset=utf-8', 200],
    ] as const) {
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ListTasks', params: {} });
      const answer = await post(body, { 'content-type': type });
      assert.equal(answer.http, http, type);
      if (http === 415) refused(answer, -32005, /application\/json/);
    }
  });

  // [CORE-SEND-003]
  await t.test('media types: those of the card, in any spelling, and no others', async () => {
    const notTaken = async (part: object) =>
      refused(
        await send({ parts: [{ text: 'hello' }, part] }),
        contentTypeNotSupported,
        /parts\[1\].*text\/plain/,
      );
    await notTaken({ raw: 'AAAA', mediaType: 'video/mp4' });
    await notTaken({ url: 'https://example.com/x', mediaType: 'image/webp' });
    await notTaken({ text: 'hello', mediaType: 'text/x-unknown' });
    await notTaken({ data: {}, mediaType: 'no type' });
    for (const part of [
      { data: { a: 1 } },
      { text: 'hello', mediaType: 'Text/Plain; charset=utf-8' },
      { raw: 'AAAA', filename: 'x.bin' },
    ]) {
      assert.ok((await send({ parts: [part] })).result, JSON.stringify(part));
    }
    const accepting = (...acceptedOutputModes: string[]) =>
      send({}, { configuration: { returnImmediately: true, acceptedOutputModes } });
    refused(await accepting('image/png'), contentTypeNotSupported, /acceptedOutputModes.*text\/plain/);
    for (const one of ['text/plain', 'text/*', '*/*', 'text']) {
      assert.ok((await accepting('image/png', one)).result, one);
    }
  });

  await t.test('a version that is not spoken', async () => {
    const params = { id: uuidv7() };
    refused(await stack.rpc('GetTask', params, { 'a2a-version': '7.3' }), versionNotSupported, /7\.3/);
  });

  // [CORE-ERR-001] [CORE-ERR-002] [CORE-MULTI-002a] [DM-SERIAL-004]
  await t.test('missing and wrong fields are named', async () => {
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
      [{ parts: [{ text: 'a' }, { text: 'x'.repeat(65_537) }] }, /message\.parts\[1\] has 65537 bytes/],
      [{ parts: [{ raw: Buffer.alloc(65_537).toString('base64') }] }, /65537 bytes/],
      [{ parts: [{ data: { deep: nested(101) } }] }, /message\.parts\[0\]\.data is nested/],
      [{ metadata: { deep: nested(101) } }, /message\.metadata is nested/],
    ] as const) {
      refused(await send(more), code.INVALID_PARAMS, text);
    }
    refused(await stack.rpc('SendMessage', {}), code.INVALID_PARAMS, /message is missing/);
    refused(await send({}, { metadata: { deep: nested(101) } }), code.INVALID_PARAMS, /metadata is nested/);
    refused(
      await send({}, { configuration: { historyLength: -1 } }),
      code.INVALID_PARAMS,
      /historyLength.*not -1/,
    );
    refused(await send({}, { tenant: 'a\u0000' }), code.INVALID_PARAMS, /tenant/);
    assert.equal((await send({ parts: [{ text: 'x'.repeat(65_536) }] })).error, undefined);
    assert.equal((await send({ parts: [{ data: { deep: nested(90) } }] })).error, undefined);
  });

  await t.test('lists refuse what they cannot filter by', async () => {
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
      refused(await stack.rpc('ListTasks', params), code.INVALID_PARAMS, text);
    }
    assert.ok((await stack.rpc('ListTasks', { historyLength: 2 ** 31 - 1 })).result);
    assert.ok((await stack.rpc('ListTasks', { statusTimestampAfter: '0001-01-01T00:00:00Z' })).result);
  });

  // [CORE-MULTI-004]
  await t.test('a task that is not there, in every operation', async () => {
    for (const id of [uuidv7(), 'no-uuid', `${uuidv7()}'; drop table tasks`, 'a\u0000']) {
      for (const method of ['GetTask', 'CancelTask', 'SubscribeToTask']) {
        refused(await stack.rpc(method, { id }), taskNotFound, /was not found/);
      }
      const hook = { taskId: id, id: 'x' };
      refused(
        await stack.rpc('GetTaskPushNotificationConfig', hook),
        taskNotFound,
        /was not found|no webhook/,
      );
      refused(await stack.rpc('ListTaskPushNotificationConfigs', hook), taskNotFound, /was not found/);
      refused(await stack.rpc('DeleteTaskPushNotificationConfig', hook), taskNotFound, /was not found/);
    }
    refused(await send({ taskId: uuidv7() }), taskNotFound, /was not found/);
  });

  await t.test('a messageId that was used for other content', async () => {
    const first = message();
    const { result } = await send(first);
    assert.equal((await send(first)).result.task.id, result.task.id, 'a repeat is no error');
    refused(
      await send({ ...first, parts: [{ text: 'other' }] }),
      code.INVALID_PARAMS,
      /messageId .* was already used/,
    );
  });

  // [CORE-SEND-002] [CORE-MULTI-006]
  await t.test('a message for a task at its end, or with another context than its task', async () => {
    const { result } = await send();
    const { id: taskId, contextId } = result.task;
    refused(await send({ taskId, contextId: uuidv7() }), code.INVALID_PARAMS, /is not the context of task/);
    assert.equal((await stack.rpc('CancelTask', { id: taskId })).error, undefined);
    refused(await send({ taskId }), unsupportedOperation, new RegExp(`has ended.*${contextId}`));
    refused(await stack.rpc('CancelTask', { id: taskId }), taskNotCancelable, /has already ended/);
    refused(await stack.rpc('SubscribeToTask', { id: taskId }), unsupportedOperation, /has ended/);
  });

  // [CORE-CAP-003]
  await t.test('an extended card where there is none', async () => {
    refused(await stack.rpc('GetExtendedAgentCard', {}), unsupportedOperation, /no extended card/);
  });

  await t.test('a path that is not there says where to look', async () => {
    const response = await fetch(`${stack.apiUrl}/a2a/nothing`);
    assert.equal(response.status, 404);
    assert.match(await response.text(), /agent-card\.json/);
  });

  assert.doesNotMatch(
    api.running.output(),
    /"severity":"(ERROR|CRITICAL)"/,
    'none of it is an error of ours',
  );
});

function nested(depth: number): unknown {
  let value: unknown = 'deep';
  for (let i = 0; i < depth; i += 1) value = i % 2 === 0 ? [value] : { value };
  return value;
}
