/** The HTTP+JSON binding on the wire: parameters, statuses, error bodies and versions. */
import assert from 'node:assert/strict';
import { before, beforeEach, describe, test } from 'node:test';
import { TaskState, type Task } from '@a2a-js/sdk';
import { bodyLimitBytes, getTask, startApiServer } from '../../support/services/api-server.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { checkAnswers } from '../../support/clients/openapi.ts';
import type { AnyJson } from '../../support/clients/any-json.ts';

interface RequestOptions {
  method?: string;
  body?: string;
  headers?: Record<string, string>;
}

describe('HTTP+JSON', () => {
  const cleanup = createSuiteCleanup();
  /** The ListTasks requests that reached the handler. */
  const listRequests: unknown[] = [];
  let url: string;
  before(async () => {
    ({ url } = await startApiServer(cleanup, {
      getTask,
      listTasks: async (request, context) => {
        listRequests.push({ ...request, contextTenant: context.tenant });
        return { tasks: [], nextPageToken: '', pageSize: 50, totalSize: 0 };
      },
      createTaskPushNotificationConfig: async (config) => config,
      deleteTaskPushNotificationConfig: async () => undefined,
    }));
    await checkAnswers(cleanup, url);
  });
  beforeEach(() => {
    listRequests.length = 0;
  });

  async function request(path: string, options: RequestOptions = {}) {
    const headers = { 'a2a-version': '1.0', 'content-type': 'application/a2a+json', ...options.headers };
    const response = await fetch(`${url}/a2a/v1${path}`, { ...options, headers });
    return { status: response.status, headers: response.headers, json: (await response.json()) as AnyJson };
  }

  // [HTTP_JSON-QP-001]
  test('reads parameters from the path and the query', async () => {
    await request(
      '/acme/tasks?contextId=c&status=TASK_STATE_WORKING&pageSize=7&pageToken=p&historyLength=0&includeArtifacts=true',
    );
    assert.deepEqual(listRequests, [
      {
        tenant: 'acme',
        contextId: 'c',
        status: TaskState.TASK_STATE_WORKING,
        pageSize: 7,
        pageToken: 'p',
        historyLength: 0,
        statusTimestampAfter: undefined,
        includeArtifacts: true,
        contextTenant: 'acme',
      },
    ]);
  });

  test('answers malformed parameters and bodies with 400 and the accepted values', async () => {
    const malformed: [string, RegExp, RequestOptions?][] = [
      ['/tasks?pageSize=abc', /pageSize must be a whole number/],
      ['/tasks?pageSize=1.5', /pageSize must be a whole number/],
      ['/tasks?pageSize=1&pageSize=2', /pageSize was sent more than once/],
      ['/tasks?status=working', /status must be one of .*TASK_STATE_WORKING/],
      ['/tasks?includeArtifacts=yes', /includeArtifacts must be true or false/],
      ['/tasks/x?historyLength=all', /historyLength must be a whole number/],
      ['/acme/tasks?tenant=other', /tenant is acme in the path/],
      ['/message:send', /not valid JSON/, { method: 'POST', body: '{' }],
      ['/message:send', /must be a JSON object/, { method: 'POST', body: '[]' }],
      [
        '/tasks/x/pushNotificationConfigs',
        /taskId is x in the path/,
        { method: 'POST', body: '{"taskId":"y"}' },
      ],
      [
        '/message:send',
        /message.parts\[0\].raw must be a string in base64/,
        { method: 'POST', body: '{"message":{"parts":[{"raw":5}]}}' },
      ],
    ];
    for (const [path, message, options] of malformed) {
      const { status, json } = await request(path, options);
      assert.equal(status, 400, path);
      assert.match(json.error.message, message);
      assert.deepEqual(
        [json.error.code, json.error.status, json.error.details[0].reason],
        [400, 'INVALID_ARGUMENT', 'INVALID_PARAMS'],
      );
    }
  });

  test('refuses bodies that are compressed or not in UTF-8', async () => {
    for (const [headers, expected, text] of [
      [{ 'content-encoding': 'gzip' }, 415, /encoded as gzip: send it without Content-Encoding/],
      [{ 'content-type': 'application/json;charset="utf-16"' }, 415, /charset utf-16: send it in UTF-8/],
      [{}, 400, /must be in UTF-8/],
    ] as const) {
      const response = await fetch(`${url}/a2a/v1/message:send`, {
        method: 'POST',
        headers: { 'a2a-version': '1.0', 'content-type': 'application/a2a+json', ...headers },
        body: new Uint8Array(Buffer.from('{"message":"Gr\u00fc\u00dfe"}', 'latin1')),
      });
      assert.equal(response.status, expected);
      assert.match(await response.text(), text);
    }
  });

  test('answers in application/json if the client accepts only that', async () => {
    for (const [accept, type] of [
      ['application/json', 'application/json'],
      ['application/json, text/plain, */*', 'application/json'],
      ['text/html, application/json;q=0.9', 'application/json'],
      ['application/a2a+json, application/json', 'application/a2a+json'],
      ['*/*', 'application/a2a+json'],
      ['text/event-stream', 'application/a2a+json'],
    ] as const) {
      for (const path of ['/tasks/x', '/tasks/none', '/tasks?pageSize=x', '/nothing']) {
        const { headers } = await request(path, { headers: { accept } });
        assert.equal(headers.get('content-type')?.split(';')[0], type, `${accept} ${path}`);
      }
    }
    const legacy = await request('/tasks/x', { headers: { accept: '*/*', 'a2a-version': '' } });
    assert.match(legacy.headers.get('content-type') ?? '', /^application\/json/);
  });

  test('answers a deleted webhook config with 200 and an empty object', async () => {
    const { status, json } = await request('/tasks/x/pushNotificationConfigs/y', { method: 'DELETE' });
    assert.deepEqual([status, json], [200, {}]);
  });

  test('warns in a header about parameters that look like known ones', async () => {
    const { headers } = await request('/tasks?page_size=5&contextID=c&status=TASK_STATE_WORKING&other=1');
    assert.equal(
      headers.get('longhaul-warning'),
      'page_size is unknown and was ignored: did you mean pageSize?, contextID is unknown and was ignored: did you mean contextId?',
    );
    const body = JSON.stringify({ url: 'https://example.com', tokens: 'x' });
    const created = await request('/tasks/x/pushNotificationConfigs', { method: 'POST', body });
    assert.match(created.headers.get('longhaul-warning') ?? '', /^tokens is unknown .*did you mean token\?$/);
    assert.equal((await request('/tasks?pageSize=5&A2A-Version=1.0')).headers.get('longhaul-warning'), null);
  });

  test('refuses a body of another media type', async () => {
    const { status, json } = await request('/message:send', {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'text/plain' },
    });
    assert.equal(status, 400);
    assert.equal(json.error.details[0].reason, 'CONTENT_TYPE_NOT_SUPPORTED');
  });

  test('answers a missing task with 404 and an ErrorInfo', async () => {
    const { status, headers, json } = await request('/tasks/none');
    assert.equal(status, 404);
    assert.match(headers.get('content-type') ?? '', /^application\/a2a\+json/);
    assert.deepEqual(json.error.details, [
      {
        '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
        reason: 'TASK_NOT_FOUND',
        domain: 'a2a-protocol.org',
      },
    ]);
  });

  test('answers an unavailable service with 503 and Retry-After', async () => {
    const { status, headers, json } = await request('/tasks/away');
    assert.deepEqual([status, json.error.status, headers.get('retry-after')], [503, 'UNAVAILABLE', '2']);
  });

  test('answers an unknown path with 404 and the routes', async () => {
    const { status, json } = await request('/nothing/of/this');
    assert.deepEqual([status, json.error.status], [404, 'NOT_FOUND']);
    assert.match(
      json.error.message,
      /use POST \/a2a\/v1\/message:send, .*GET \/a2a\/v1\/tasks\/{id}:subscribe/,
    );
    const legacy = await request('/tasks', { headers: { 'a2a-version': '' } });
    assert.match(legacy.json.message, /GET \/a2a\/v1\/card, or send the header A2A-Version: 1\.0/);
    assert.doesNotMatch(legacy.json.message, /GET \/a2a\/v1\/tasks,/);
  });

  test('answers a body above the limit with 413', async () => {
    const body = `"${'x'.repeat(bodyLimitBytes)}"`;
    const { status, json } = await request('/message:send', { method: 'POST', body });
    assert.deepEqual([status, json.error.status], [413, 'INVALID_ARGUMENT']);
  });

  test('answers a path that the router cannot read in its own form', async () => {
    const escape = await request('/tasks/%zz');
    assert.deepEqual([escape.status, escape.json.error.status], [400, 'INVALID_ARGUMENT']);
    assert.match(escape.json.error.message, /\/tasks\/%zz is not valid: each % must start an escape/);
    assert.equal(escape.headers.get('x-content-type-options'), 'nosniff');
    const long = await request(`/tasks/${'x'.repeat(1025)}/timeline`, { headers: { 'a2a-version': '0.3' } });
    assert.deepEqual([long.status, long.json.code], [414, -32600]);
    assert.match(long.json.message, /is too long: send at most 1024 characters$/);
  });

  test('answers a large body to an extension or a callback in the form of the route', async () => {
    const v03 = { 'a2a-version': '0.3' };
    const body = 'x'.repeat(bodyLimitBytes + 1);
    const large = await request('/tasks:rerun', { method: 'POST', body, headers: v03 });
    assert.deepEqual([large.status, large.json.error.code], [413, 413]);
    const response = await fetch(`${url}/callbacks/token`, { method: 'POST', body: 'x'.repeat(262_145) });
    assert.deepEqual(
      [response.status, await response.json()],
      [413, { error: 'The body is larger than 262144 bytes, the most that this URL accepts' }],
    );
  });

  test('lists the routes of extensions for an unknown path, in every version', async () => {
    for (const version of ['1.0', '0.3']) {
      const { json } = await request('/searching', { headers: { 'a2a-version': version } });
      const text = json.message ?? json.error.message;
      assert.match(text, /Routes of extensions: .*POST \/a2a\/v1\/tasks:cancel, .*GET \/a2a\/v1\/search,/);
      assert.doesNotMatch(text, /HEAD|\{tenant\}/);
    }
    assert.match(await (await fetch(`${url}/search`)).text(), /GET \/a2a\/v1\/tasks\/\{taskId\}\/timeline/);
  });

  test('refuses unknown parameters on routes of extensions', async () => {
    for (const [path, problem] of [
      [
        '/search?states=x',
        /^"states" is not a parameter of GET \/search: it has state, statusSince, .*owner/,
      ],
      ['/stats?owners=x', /^"owners" is not a parameter of GET \/stats: it has tenant, owner, A2A-Version$/],
      ['/acme/stats?tenant=x', /^"tenant" is not a parameter of GET \/stats: it has owner/],
      ['/tasks:cancel?dryRun=true', /^"dryRun" is not a parameter of POST \/tasks:cancel/],
    ] as const) {
      const method = path.startsWith('/tasks') ? 'POST' : 'GET';
      const { status, json } = await request(path, { method });
      assert.deepEqual([status, json.error.status], [400, 'INVALID_ARGUMENT'], path);
      assert.match(json.error.message, problem);
    }
  });

  test('accepts the version in the query', async () => {
    const response = await fetch(`${url}/a2a/v1/tasks/x?A2A-Version=1.0`);
    assert.equal(((await response.json()) as Task).id, 'x');
  });

  test('is served below the path of the public URL too', async (t) => {
    const options = { publicUrl: 'https://example.com/agents/echo' };
    const { url: base } = await startApiServer(t, { getTask }, options);
    const headers = { 'a2a-version': '1.0' };
    for (const [path, status] of [
      ['/agents/echo/a2a/v1/tasks/x', 200],
      ['/a2a/v1/tasks/x', 200],
      ['/agents/echo/.well-known/agent-card.json', 200],
      ['/agents/echo/health/live', 200],
      ['/agents/echoes/a2a/v1/tasks/x', 404],
      ['/agents/echo', 404],
    ] as const) {
      assert.equal((await fetch(base + path, { headers })).status, status, path);
    }
  });

  test('accepts task ids of 200 characters', async () => {
    const id = 'x'.repeat(200);
    assert.equal((await request(`/tasks/${id}`)).json.id, id);
  });

  test('speaks A2A 0.3, errors included, if no version is named', async () => {
    const unknown = await request('/tasks', { headers: { 'a2a-version': '' } });
    assert.deepEqual([unknown.status, unknown.json.code], [404, -32601]);
    const missing = await request('/tasks/none', { headers: { 'a2a-version': '' } });
    assert.deepEqual([missing.status, missing.json], [404, { code: -32001, message: 'there is none' }]);
  });
});
