/** What the bindings do on the wire around the operations: envelopes, media types, failures, extensions, and leaving. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TaskState, type AgentCard, type StreamResponse, type Task } from '@a2a-js/sdk';
import { TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler, ServerCallContext } from '@a2a-js/sdk/server';
import { A2AService } from '@a2a-js/sdk/server/grpc';
import { credentials, makeGenericClientConstructor, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createAdmission } from '#services/api/limits/admission.ts';
import { createAgentCard } from '#services/api/card/agent-card.ts';
import { createApiServer } from '#services/api/server.ts';
import { createAuthenticate } from '#services/api/auth/authenticate.ts';
import { getSignal } from '#services/api/handler/call-state.ts';
import type { ConditionalParts } from '#services/api/http/conditional.ts';
import { InternalError, UnavailableError } from '#services/api/handler/errors.ts';
import { listenGrpc } from '#services/api/bindings/grpc/grpc.ts';
import { service as healthService } from 'grpc-health-check';
import { rawGrpc, rawJsonRpc, rawRest, type RawBinding } from '../../support/raw-bindings.ts';
import type { WebhookRoutesParts } from '#services/api/extensions/webhooks/routes.ts';

const required = 'https://example.com/extensions/needed/v1';
const bodyLimitBytes = 20_000;
/** Anybody may call. */
const auth: AuthConfig = { apiKeys: undefined, jwt: undefined, cloudRunIam: undefined };

const task = (id: string): Task => ({
  id,
  contextId: 'c',
  status: { state: TaskState.TASK_STATE_WORKING, message: undefined, timestamp: undefined },
  artifacts: [],
  history: [],
  metadata: undefined,
});

interface Front {
  url: string;
  grpcTarget: string;
  bindings: RawBinding[];
}

/** The bindings on a handler that does what a test wants of it. */
async function front(
  t: TestContext,
  operations: Partial<A2ARequestHandler>,
  change: (card: AgentCard) => void = () => undefined,
): Promise<Front> {
  const definition = {
    name: 'a',
    description: 'b',
    version: '1',
    skills: [],
    inputModes: [],
    outputModes: [],
    mcpServers: {},
  };
  const card = createAgentCard(definition as unknown as Parameters<typeof createAgentCard>[0], {
    publicUrl: 'http://localhost',
    grpcPublicTarget: 'localhost:1',
    auth,
    protocol: { legacy: true, streaming: true, pushNotifications: true, requiredExtensions: [] },
  });
  change(card);
  const handler = { getAgentCard: async () => card, ...operations } as A2ARequestHandler;
  const log = createLogger('test', 'silent');
  const parts = {
    handler,
    card,
    cardKey: undefined,
    admitCaller: createAdmission(createAuthenticate(auth), undefined, log),
    // Nothing here reads conditionally.
    conditional: {} as ConditionalParts,
    trustedProxies: 0,
    // Nor looks at webhooks.
    webhooks: {} as WebhookRoutesParts,
    corsOrigins: [],
    publicUrl: 'http://localhost',
    drainMs: 1_000,
    ready: async () => undefined,
    bodyLimitBytes,
    log,
  };
  const app = await createApiServer(parts);
  await app.listen({ host: '127.0.0.1', port: 0 });
  const grpc = await listenGrpc({ ...parts, host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  const grpcTarget = `127.0.0.1:${grpc.port}`;
  const bindings = [rawJsonRpc(url), rawRest(url), rawGrpc(grpcTarget)];
  t.after(async () => {
    for (const binding of bindings) binding.close();
    await Promise.all([app.close(), grpc.close()]);
  });
  return { url, grpcTarget, bindings };
}

const getTask = async ({ id }: { id: string }): Promise<Task> => {
  if (id === 'none') throw new TaskNotFoundError('there is none');
  if (id === 'away') throw new UnavailableError();
  if (id === 'broken') throw new InternalError();
  if (id === 'bug') throw new TypeError('secret of the house');
  return task(id);
};

test('the envelope of JSON-RPC', async (t) => {
  const { url } = await front(t, { getTask });
  const post = async (body: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${url}/a2a/jsonrpc`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'a2a-version': '1.0', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, json: text && JSON.parse(text) };
  };
  const get = (more: object = {}, id = 'x') => ({
    jsonrpc: '2.0',
    id: 1,
    method: 'GetTask',
    params: { id },
    ...more,
  });

  for (const id of ['text', 7, null]) {
    const { json, status } = await post(get({ id }));
    assert.deepEqual([status, json.id, json.result.id], [200, id, 'x']);
  }
  const refused: [unknown, number, unknown][] = [
    ['{', -32700, null],
    ['[]', -32600, null],
    ['"x"', -32600, null],
    [get({ id: {} }), -32600, null],
    [get({ jsonrpc: '1.0' }), -32600, 1],
    [get({ method: 3 }), -32600, 1],
    [get({ params: [1] }), -32602, 1],
    [get({ params: { id: 'x', tenant: 4 } }), -32602, 1],
    [get({ method: 'Nothing' }), -32601, 1],
    [get({ method: 'toString' }), -32601, 1],
    [get({ method: 'tasks/get' }), -32601, 1],
  ];
  for (const [body, code, id] of refused) {
    const { json, status } = await post(body);
    assert.deepEqual([status, json.error.code, json.id], [200, code, id], JSON.stringify(body));
  }
  const wrongType = await post(get(), { 'content-type': 'text/plain' });
  assert.deepEqual([wrongType.status, wrongType.json.error.code], [415, -32005]);
  const charset = await post(get(), { 'content-type': 'application/json; charset=utf-8' });
  assert.equal(charset.json.result.id, 'x');
  for (const id of ['x', 'none']) {
    const { jsonrpc, method, params } = get({}, id);
    const notified = await post({ jsonrpc, method, params });
    assert.deepEqual([notified.status, notified.json], [204, '']);
  }
  const away = await post(get({}, 'away'));
  assert.deepEqual([away.status, away.headers.get('retry-after')], [503, '2']);
  const legacy = (id: string) => post(get({ method: 'tasks/get' }, id), { 'a2a-version': '0.3' });
  assert.deepEqual([(await legacy('away')).status, (await legacy('away')).json.error.code], [503, -32603]);
  assert.equal((await legacy('broken')).json.error.message, InternalError.text);
  assert.equal((await legacy('none')).json.error.code, -32001);
  const large = await post(get({ params: { id: 'x'.repeat(bodyLimitBytes) } }));
  assert.deepEqual([large.status, large.json.error.code], [413, -32600]);

  const inQuery = await fetch(`${url}/a2a/jsonrpc?A2A-Version=1.0`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(get()),
  });
  assert.equal(((await inQuery.json()) as { result: Task }).result.id, 'x');
  const unversioned = await post(get(), { 'a2a-version': '' });
  assert.match(
    unversioned.json.error.message,
    /GetTask is a method of A2A 1\.0: send the header A2A-Version: 1\.0/,
  );
});

interface Init {
  method?: string;
  body?: string;
  headers?: Record<string, string>;
}

// [HTTP_JSON-QP-001]
test('requests of HTTP+JSON', async (t) => {
  const asked: unknown[] = [];
  const { url } = await front(t, {
    getTask,
    listTasks: async (request, context) => {
      asked.push({ ...request, contextTenant: context.tenant });
      return { tasks: [], nextPageToken: '', pageSize: 50, totalSize: 0 };
    },
    createTaskPushNotificationConfig: async (config) => config,
  });
  const request = async (path: string, init: Init = {}) => {
    const headers = { 'a2a-version': '1.0', 'content-type': 'application/a2a+json', ...init.headers };
    const response = await fetch(`${url}/a2a/v1${path}`, { ...init, headers });
    // oxlint-disable-next-line typescript/no-explicit-any -- looked at field by field
    return { status: response.status, headers: response.headers, json: (await response.json()) as any };
  };

  await request(
    '/acme/tasks?contextId=c&status=TASK_STATE_WORKING&pageSize=7&pageToken=p&historyLength=0&includeArtifacts=true',
  );
  assert.deepEqual(asked, [
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
  const malformed: [string, RegExp, Init?][] = [
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
  for (const [path, message, init] of malformed) {
    const { status, json } = await request(path, init);
    assert.equal(status, 400, path);
    assert.match(json.error.message, message);
    assert.deepEqual(
      [json.error.code, json.error.status, json.error.details[0].reason],
      [400, 'INVALID_ARGUMENT', 'INVALID_PARAMS'],
    );
  }
  const wrongType = await request('/message:send', {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'text/plain' },
  });
  assert.equal(wrongType.status, 400);
  assert.equal(wrongType.json.error.details[0].reason, 'CONTENT_TYPE_NOT_SUPPORTED');

  const none = await request('/tasks/none');
  assert.equal(none.status, 404);
  assert.match(none.headers.get('content-type') ?? '', /^application\/a2a\+json/);
  assert.deepEqual(none.json.error.details, [
    {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: 'TASK_NOT_FOUND',
      domain: 'a2a-protocol.org',
    },
  ]);
  const away = await request('/tasks/away');
  assert.deepEqual(
    [away.status, away.json.error.status, away.headers.get('retry-after')],
    [503, 'UNAVAILABLE', '2'],
  );
  const unknown = await request('/nothing/of/this');
  assert.deepEqual([unknown.status, unknown.json.error.status], [404, 'NOT_FOUND']);
  const large = await request('/message:send', { method: 'POST', body: `"${'x'.repeat(bodyLimitBytes)}"` });
  assert.deepEqual([large.status, large.json.error.status], [413, 'INVALID_ARGUMENT']);
  const inQuery = await fetch(`${url}/a2a/v1/tasks/x?A2A-Version=1.0`);
  assert.equal(((await inQuery.json()) as Task).id, 'x');
  const long = 'x'.repeat(200);
  assert.equal((await request(`/tasks/${long}`)).json.id, long);

  // The same address speaks 0.3 to those who name no version, and refuses in its form.
  const old = await request('/tasks', { headers: { 'a2a-version': '' } });
  assert.deepEqual([old.status, old.json.code], [404, -32601]);
  const oldNone = await request('/tasks/none', { headers: { 'a2a-version': '' } });
  assert.deepEqual([oldNone.status, oldNone.json], [404, { code: -32001, message: 'there is none' }]);
});

test('failures say no more than they should, alike in every binding', async (t) => {
  const { bindings } = await front(t, { getTask });
  const expected = {
    JSONRPC: { away: -32603, broken: -32603 },
    'HTTP+JSON': { away: 503, broken: 500 },
    GRPC: { away: 14, broken: 13 },
  };
  for (const { name, call } of bindings) {
    const away = (await call('GetTask', { id: 'away' })).error;
    assert.deepEqual([away?.code, away?.message], [expected[name].away, UnavailableError.text], name);
    for (const id of ['broken', 'bug']) {
      const { error } = await call('GetTask', { id });
      assert.deepEqual([error?.code, error?.message], [expected[name].broken, InternalError.text], name);
    }
  }
});

// [JSONRPC-SVC-002] [HTTP_JSON-SVC-002] [GRPC-META-001]
test('extensions: required ones are insisted on, active ones are told', async (t) => {
  const optional = 'https://example.com/extensions/other/v1';
  const activate = async ({ id }: { id: string }, context: ServerCallContext): Promise<Task> => {
    for (const uri of context.requestedExtensions ?? []) context.addActivatedExtension(uri);
    return task(id);
  };
  const { url, grpcTarget, bindings } = await front(t, { getTask: activate }, (card) => {
    card.capabilities!.extensions = [
      { uri: required, description: '', required: true, params: undefined },
      { uri: optional, description: '', required: false, params: undefined },
    ];
  });
  for (const { name, call } of bindings) {
    const { error } = await call('GetTask', { id: 'x' }, { 'a2a-extensions': optional });
    assert.equal(error?.reason, 'EXTENSION_SUPPORT_REQUIRED', name);
    assert.match(error?.message ?? '', /A2A-Extensions: https:\/\/example\.com\/extensions\/needed\/v1/);
    const { result } = await call('GetTask', { id: 'x' }, { 'a2a-extensions': `${optional}, ${required}` });
    assert.equal(result?.id, 'x', name);
  }
  const headers = { 'a2a-version': '1.0', 'a2a-extensions': required, 'content-type': 'application/json' };
  const rest = await fetch(`${url}/a2a/v1/tasks/x`, { headers });
  assert.equal(rest.headers.get('a2a-extensions'), required);
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'GetTask', params: { id: 'x' } });
  const rpc = await fetch(`${url}/a2a/jsonrpc`, { method: 'POST', headers, body });
  assert.equal(rpc.headers.get('a2a-extensions'), required);
  const client = grpcClient(t, grpcTarget);
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const call = client['getTask'](taskRequest('x'), metadata, () => undefined);
  const [answered] = (await once(call, 'metadata')) as [Metadata];
  assert.deepEqual(answered.get('a2a-extensions'), [required]);
});

test('a client that leaves ends its call, in every binding', async (t) => {
  const gone = new Map<string, PromiseWithResolvers<void>>();
  const leave = (id: string, context: ServerCallContext): void => {
    getSignal(context).addEventListener('abort', () => gone.get(id)?.resolve());
  };
  const { bindings, grpcTarget } = await front(t, {
    getTask: ({ id }, context) => {
      leave(id, context);
      return new Promise(() => undefined);
    },
    resubscribe: async function* ({ id }, context): AsyncGenerator<StreamResponse, void, undefined> {
      leave(id, context);
      yield { payload: { $case: 'task', value: task(id) } };
      await once(getSignal(context), 'abort');
    },
  });
  for (const { name, stream } of bindings) {
    const id = `by-${name.length}`;
    gone.set(id, Promise.withResolvers());
    const controller = new AbortController();
    const events = stream('SubscribeToTask', { id }, controller.signal);
    assert.equal((await events.next()).value?.result.task.id, id);
    controller.abort();
    await gone.get(id)!.promise;
    await events.return(undefined);
  }
  gone.set('late', Promise.withResolvers());
  const client = grpcClient(t, grpcTarget);
  const metadata = new Metadata();
  metadata.set('a2a-version', '1.0');
  const error = await new Promise<ServiceError>((resolve) =>
    client['getTask'](taskRequest('late'), metadata, { deadline: Date.now() + 2_000 }, resolve),
  );
  assert.equal(error.code, 4);
  await gone.get('late')!.promise;
});

test('a slow reader holds its stream back', async (t) => {
  let made = 0;
  const { grpcTarget } = await front(t, {
    resubscribe: async function* ({ id }): AsyncGenerator<StreamResponse, void, undefined> {
      for (; made < 2000; made++) {
        yield {
          payload: { $case: 'task', value: { ...task(id), metadata: { filler: 'x'.repeat(32_768) } } },
        };
      }
    },
  });
  const metadata = new Metadata();
  metadata.set('a2a-version', '1.0');
  const call = grpcClient(t, grpcTarget)['subscribeToTask']({ tenant: '', id: 'x' }, metadata);
  await once(call, 'readable');
  // Nothing is read: when no more is made for a while, the stream stands.
  for (let before = -1; before !== made; await sleep(100)) before = made;
  assert.ok(made < 1000, `${made} events were made for a reader that took none`);
  let read = 0;
  call.on('data', () => read++);
  await once(call, 'end');
  assert.equal(read, 2000);
});

test('gRPC health', async (t) => {
  const { grpcTarget } = await front(t, {});
  const Health = makeGenericClientConstructor(healthService, 'Health');
  const client = new Health(grpcTarget, credentials.createInsecure());
  t.after(() => client.close());
  const check = (service: string) =>
    new Promise((resolve) =>
      // oxlint-disable-next-line typescript/no-explicit-any -- a generic client has no types
      (client as any).check({ service }, (error: ServiceError | null, value: unknown) =>
        resolve(error?.code ?? value),
      ),
    );
  assert.deepEqual(await check(''), { status: 'SERVING' });
  assert.deepEqual(await check('lf.a2a.v1.A2AService'), { status: 'SERVING' });
  assert.equal(await check('nothing'), 5);
});

// oxlint-disable-next-line typescript/no-explicit-any -- a generic client has no types
function grpcClient(t: TestContext, target: string): any {
  const Client = makeGenericClientConstructor(A2AService, 'A2AService');
  const client = new Client(target, credentials.createInsecure());
  t.after(() => client.close());
  return client;
}

function taskRequest(id: string): object {
  return { tenant: '', id };
}
