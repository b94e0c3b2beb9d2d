/** A2A 0.3 on the wire, as its clients use it: defaults, refusals, the ends of streams, and HTTP+JSON. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { callJsonRpc, postJsonRpc } from '../../../support/clients/json-rpc.ts';
import { isEventStream, readSse } from '../../../support/clients/sse.ts';
import { api, stack } from './stack.ts';
import type { AnyJson } from '../../../support/clients/any-json.ts';

const headers = { 'a2a-version': '' };
const invalidParams = -32602;
const taskNotFound = -32001;

describe('A2A 0.3', () => {
  const message = (text: string, more: object = {}) => ({
    kind: 'message',
    messageId: randomUUID(),
    role: 'user',
    parts: [{ kind: 'text', text }],
    ...more,
  });

  const rpc = (method: string, params: unknown) => callJsonRpc(stack.apiUrl, method, params, { headers });

  async function stream(method: string, params: unknown): Promise<AnyJson[]> {
    const response = await postJsonRpc(stack.apiUrl, method, params, { headers });
    assert.ok(isEventStream(response), await response.clone().text());
    assert.equal(response.status, 200);
    return collect(response);
  }

  async function rest(path: string, body?: object) {
    const response = await fetch(`${stack.apiUrl}/a2a/v1${path}`, {
      ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
      headers: { 'content-type': 'application/json' },
    });
    const events = isEventStream(response) ? await collect(response) : undefined;
    const json = (events ?? (await response.json())) as AnyJson;
    return { status: response.status, json };
  }

  const restMessage = (text: string, more: object = {}) => ({
    messageId: randomUUID(),
    role: 'ROLE_USER',
    content: [{ text }],
    ...more,
  });

  test('waits for a message unless it says otherwise', async () => {
    const waiting = [undefined, null, {}, { historyLength: 2 }, { blocking: null }, { blocking: true }];
    await Promise.all(
      waiting.map(async (configuration) => {
        const { result } = await rpc('message/send', { message: message('say hi'), configuration });
        assert.equal(result?.status.state, 'completed', JSON.stringify(configuration));
      }),
    );
    const configuration = { blocking: false };
    const { result } = await rpc('message/send', { message: message('wait 5'), configuration });
    assert.equal(result.status.state, 'submitted');
  });

  test('returns over HTTP+JSON at once if blocking is omitted from a configuration', async () => {
    const send = async (configuration: object | undefined) => {
      const { json } = await rest('/message:send', { message: restMessage('say hi'), configuration });
      return json.task.status.state;
    };
    assert.deepEqual(await Promise.all([send(undefined), send({ blocking: true })]), [
      'TASK_STATE_COMPLETED',
      'TASK_STATE_COMPLETED',
    ]);
    assert.equal(await send({}), 'TASK_STATE_SUBMITTED');
  });

  test('refuses a stream with an event', async () => {
    const { result: ended } = await rpc('message/send', { message: message('say hi') });
    const refused: [string, object, number][] = [
      ['message/stream', { message: message('x', { taskId: randomUUID() }) }, taskNotFound],
      ['message/stream', { message: message('x', { taskId: ended.id }) }, -32004],
      ['message/stream', { message: message('x', { parts: [] }) }, invalidParams],
      ['message/stream', { message: message('x', { parts: undefined }) }, invalidParams],
      ['message/stream', { tenant: 5 }, invalidParams],
      ['tasks/resubscribe', { id: ended.id }, -32004],
      ['tasks/resubscribe', {}, invalidParams],
    ];
    for (const [method, params, code] of refused) {
      const events = await stream(method, params);
      assert.deepEqual(
        events.map(({ id, error }) => [id, error?.code]),
        [[1, code]],
        JSON.stringify(params),
      );
    }
  });

  test('marks the event that closes a stream as final', async () => {
    for (const [script, state] of [
      ['progress one\nask what?', 'input-required'],
      ['progress one\nsay done', 'completed'],
    ]) {
      const events = await stream('message/stream', { message: message(script!) });
      const updates = events.map(({ result }) => result).filter(({ kind }) => kind === 'status-update');
      const finals = updates.map((update) => update.final);
      assert.deepEqual([updates.at(-1).status.state, finals.lastIndexOf(false)], [state, finals.length - 2]);
      assert.equal(finals.at(-1), true);
      const { json } = await rest('/message:stream', { message: restMessage(script!) });
      assert.equal(json.at(-1).statusUpdate.final, true);
    }
  });

  test('names the field that has a value of the wrong type', async () => {
    const sent = (more: object) => ({ message: message('x', more) });
    const part = (json: unknown) => sent({ parts: [json] });
    const configured = (configuration: unknown) => ({ message: message('x'), configuration });
    const webhook = (pushNotificationConfig: unknown) => configured({ pushNotificationConfig });
    const wrong: [string, object, RegExp][] = [
      ['message/send', {}, /^message is missing/],
      ['message/send', { message: 'x' }, /^message must be an object/],
      ['message/send', sent({ contextId: 123 }), /^message\.contextId must be a string/],
      ['message/send', sent({ taskId: {} }), /^message\.taskId must be a string/],
      ['message/send', sent({ messageId: null }), /^message\.messageId is missing/],
      ['message/send', sent({ role: 'agents' }), /^message\.role must be "user"/],
      ['message/send', sent({ parts: {} }), /^message\.parts must be an array/],
      ['message/send', sent({ referenceTaskIds: [1] }), /^message\.referenceTaskIds\[0\] must be a string/],
      ['message/send', sent({ extensions: 'x' }), /^message\.extensions must be an array of strings/],
      ['message/send', sent({ metadata: [] }), /^message\.metadata must be an object/],
      ['message/send', part(null), /^message\.parts\[0\] must be an object/],
      ['message/send', part({ text: 'x' }), /^message\.parts\[0\]\.kind must be one of "text"/],
      ['message/send', part({ kind: 'text', text: null }), /^message\.parts\[0\]\.text is missing/],
      ['message/send', part({ kind: 'text', text: 7 }), /^message\.parts\[0\]\.text must be a string/],
      ['message/send', part({ kind: 'data', data: [] }), /^message\.parts\[0\]\.data must be an object/],
      ['message/send', part({ kind: 'file' }), /^message\.parts\[0\]\.file is missing/],
      ['message/send', part({ kind: 'file', file: { uri: null } }), /parts\[0\]\.file must have either/],
      ['message/send', part({ kind: 'file', file: { uri: 'u', bytes: '' } }), /file must have either/],
      ['message/send', part({ kind: 'file', file: { bytes: 5 } }), /file\.bytes must be a string/],
      ['message/send', part({ kind: 'text', text: 'x', data: {} }), /data must not be set next to text/],
      ['message/send', configured(7), /^configuration must be an object/],
      ['message/send', configured({ acceptedOutputModes: [1] }), /acceptedOutputModes\[0\] must be a string/],
      ['message/send', configured({ blocking: 'no' }), /^configuration\.blocking must be true or false/],
      ['message/send', configured({ historyLength: '2' }), /historyLength must be a whole number/],
      ['message/send', configured({ historyLength: 1.5 }), /historyLength must be a whole number/],
      ['message/send', webhook({}), /^configuration\.pushNotificationConfig\.url is missing/],
      ['message/send', webhook({ url: 'u', authentication: { schemes: 'Basic' } }), /schemes must be an/],
      ['message/send', { ...sent({}), metadata: 'x' }, /^metadata must be an object/],
      ['tasks/get', { id: 5 }, /^id must be a string/],
      ['tasks/get', { id: 'x', historyLength: [] }, /^historyLength must be a whole number/],
      ['tasks/cancel', {}, /^id is missing/],
      ['tasks/pushNotificationConfig/set', { taskId: 'x' }, /^pushNotificationConfig is missing/],
      ['tasks/pushNotificationConfig/get', { id: 'x', pushNotificationConfigId: 5 }, /must be a string/],
      ['tasks/pushNotificationConfig/list', { id: null }, /^id is missing/],
      ['tasks/pushNotificationConfig/delete', { id: 'x' }, /^pushNotificationConfigId is missing/],
    ];
    for (const [method, params, text] of wrong) {
      const { error } = await rpc(method, params);
      assert.equal(error?.code, invalidParams, `${JSON.stringify(params)}: ${JSON.stringify(error)}`);
      assert.match(error.message, text);
    }
    const content = (json: unknown) => ({ message: restMessage('x', { content: [json] }) });
    const wrongRest: [string, object, RegExp][] = [
      ['/message:send', { message: restMessage('x', { contextId: 123 }) }, /^message\.contextId must be/],
      ['/message:send', { message: { ...restMessage('x'), content: undefined } }, /parts is empty/],
      ['/message:send', { message: { parts: [] } }, /send the header A2A-Version: 1\.0/],
      ['/message:send', content({ text: 5 }), /^message\.content\[0\]\.text must be a string/],
      ['/message:send', content({ text: null }), /content\[0\] must have exactly one of text, file and/],
      ['/message:send', content({ text: 'x', data: { data: {} } }), /exactly one of text, file and data/],
      ['/message:send', content({ file: { fileWithUri: null } }), /file must have either fileWithUri or/],
      ['/message:send', content({ data: { data: 'x' } }), /content\[0\]\.data\.data must be an object/],
      ['/message:send', { message: restMessage('x'), configuration: { blocking: 1 } }, /blocking must be/],
      [
        '/message:send',
        { message: restMessage('x'), configuration: { pushNotification: { token: 't' } } },
        /^configuration\.pushNotification\.url is missing/,
      ],
      ['/message:stream', { message: 5 }, /^message must be an object/],
      ['/tasks/x/pushNotificationConfigs', {}, /^pushNotificationConfig is missing/],
    ];
    for (const [path, body, text] of wrongRest) {
      const { status, json } = await rest(path, body);
      assert.deepEqual([status, json.code], [400, invalidParams], JSON.stringify(body));
      assert.match(json.message, text);
    }
    assert.doesNotMatch(api.running.output(), /"severity":"(ERROR|CRITICAL)"/);
  });

  test('treats null as an omitted field', async () => {
    const nulls = { contextId: null, taskId: null, metadata: null, extensions: null, referenceTaskIds: null };
    const configuration = { historyLength: null, blocking: null, pushNotificationConfig: null };
    const params = { message: message('say hi', nulls), configuration, metadata: null, tenant: null };
    const { result } = await rpc('message/send', params);
    assert.equal(result.status.state, 'completed');
    const read = await rpc('tasks/get', { id: result.id, historyLength: null, tenant: null, metadata: null });
    assert.equal(read.result.history.length, 1);
    const { json } = await rest('/message:send', {
      message: restMessage('say hi', nulls),
      configuration: null,
      metadata: null,
      tenant: null,
    });
    assert.equal(json.task.status.state, 'TASK_STATE_COMPLETED');
    const current = await callJsonRpc(stack.apiUrl, 'GetTask', {
      id: result.id,
      historyLength: null,
      tenant: null,
    });
    assert.equal(current.result.id, result.id);
  });

  test('keeps the names of files and the metadata of parts over HTTP+JSON', async () => {
    const content = [
      { text: 'file 4 chart.png', metadata: { lang: 'en' } },
      { file: { fileWithBytes: 'aGk=', mimeType: 'image/png', name: 'photo.png' }, metadata: { page: 1 } },
      { data: { data: { a: null } }, metadata: { b: null } },
    ];
    const { status, json } = await rest('/message:send', { message: restMessage('', { content }) });
    assert.equal(status, 200);
    assert.deepEqual(json.task.history[0].content, content);
    const file = json.task.artifacts.find(({ artifactId }: { artifactId: string }) => artifactId === 'file');
    assert.equal(file.parts[0].file.name, 'chart.png');
    const { result } = await rpc('tasks/get', { id: json.task.id });
    assert.deepEqual(result.history[0].parts[1], {
      kind: 'file',
      file: { bytes: 'aGk=', mimeType: 'image/png', name: 'photo.png' },
      metadata: { page: 1 },
    });
  });

  test('answers a created webhook config with 200', async () => {
    const { result } = await rpc('message/send', { message: message('say hi') });
    const pushNotificationConfig = { id: 'mine', url: 'http://127.0.0.1:9/' };
    const { status, json } = await rest(`/tasks/${result.id}/pushNotificationConfigs`, {
      config: { pushNotificationConfig },
    });
    assert.deepEqual([status, json.pushNotificationConfig.id], [200, 'mine']);
  });
});

/** Returns the data of all events. */
async function collect(response: Response): Promise<unknown[]> {
  const events: unknown[] = [];
  for await (const { data } of readSse(response)) events.push(data);
  return events;
}
