/** The HTTP+JSON binding on the wire: parameters, statuses, error bodies and versions. */
import assert from 'node:assert/strict';
import { before, beforeEach, describe, test } from 'node:test';
import { TaskState, type Task } from '@a2a-js/sdk';
import { bodyLimitBytes, getTask, startApiServer } from '../../support/api-server.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';

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
    }));
  });
  beforeEach(() => {
    listRequests.length = 0;
  });

  async function request(path: string, options: RequestOptions = {}) {
    const headers = { 'a2a-version': '1.0', 'content-type': 'application/a2a+json', ...options.headers };
    const response = await fetch(`${url}/a2a/v1${path}`, { ...options, headers });
    // oxlint-disable-next-line typescript/no-explicit-any -- answers are read field by field, as a client would
    return { status: response.status, headers: response.headers, json: (await response.json()) as any };
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
        /the request is not valid/,
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

  test('answers an unknown path with 404', async () => {
    const { status, json } = await request('/nothing/of/this');
    assert.deepEqual([status, json.error.status], [404, 'NOT_FOUND']);
  });

  test('answers a body above the limit with 413', async () => {
    const body = `"${'x'.repeat(bodyLimitBytes)}"`;
    const { status, json } = await request('/message:send', { method: 'POST', body });
    assert.deepEqual([status, json.error.status], [413, 'INVALID_ARGUMENT']);
  });

  test('accepts the version in the query', async () => {
    const response = await fetch(`${url}/a2a/v1/tasks/x?A2A-Version=1.0`);
    assert.equal(((await response.json()) as Task).id, 'x');
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
