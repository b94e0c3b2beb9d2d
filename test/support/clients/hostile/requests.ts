/**
 * Arbitrary HTTP requests to the api service for property tests: mostly well-formed, with hostile values in any field.
 */
import { randomUUID } from 'node:crypto';
import * as fc from 'fast-check';
import { createHostileValues, toJson } from './values.ts';

export interface HostileRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string | Uint8Array<ArrayBuffer> | undefined;
}

/** @param ids of objects that exist, so that some requests find them */
export function createHostileRequests(ids: readonly string[]): fc.Arbitrary<HostileRequest> {
  const { text, number, hostile, mostly, object } = createHostileValues(ids);

  const metadata = mostly(fc.dictionary(text, hostile, { maxKeys: 3 }));
  const part = mostly(
    object({
      text: mostly(text),
      raw: hostile,
      url: hostile,
      data: hostile,
      mediaType: hostile,
      filename: hostile,
      metadata,
    }),
  );
  const message = mostly(
    fc.record(
      {
        messageId: mostly(text),
        role: mostly(fc.constant('ROLE_USER')),
        parts: mostly(fc.array(part, { maxLength: 3 })),
        contextId: mostly(text),
        taskId: mostly(text),
        metadata,
        extensions: mostly(fc.array(text, { maxLength: 2 })),
        referenceTaskIds: mostly(fc.array(text, { maxLength: 2 })),
      },
      { requiredKeys: ['messageId', 'role', 'parts'] },
    ),
  );
  const webhook = {
    id: mostly(text),
    taskId: mostly(text),
    url: mostly(fc.oneof(text, fc.constant('http://127.0.0.1:9/'))),
    token: mostly(text),
    authentication: mostly(object({ scheme: mostly(text), credentials: mostly(text) })),
  };
  const configuration = mostly(
    object({
      acceptedOutputModes: mostly(fc.array(text, { maxLength: 2 })),
      historyLength: mostly(number),
      returnImmediately: mostly(fc.boolean()),
      taskPushNotificationConfig: mostly(object(webhook)),
    }),
  );
  const sent = fc.record(
    { message, configuration, metadata, tenant: mostly(text) },
    { requiredKeys: ['message'] },
  );
  const named = object({ id: mostly(text), historyLength: mostly(number), metadata, tenant: mostly(text) });
  const webhooks = object({
    ...webhook,
    pageSize: mostly(number),
    pageToken: mostly(text),
    tenant: mostly(text),
  });
  const listed = object({
    contextId: mostly(text),
    status: mostly(text),
    pageSize: mostly(number),
    pageToken: mostly(text),
    historyLength: mostly(number),
    statusTimestampAfter: mostly(text),
    includeArtifacts: mostly(fc.boolean()),
    tenant: mostly(text),
  });
  const params = mostly(fc.oneof(sent, named, webhooks, listed));
  const rpc = (methods: string[], own: fc.Arbitrary<unknown>) =>
    fc
      .record({
        jsonrpc: fc.oneof({ weight: 20, arbitrary: fc.constant('2.0') }, hostile),
        id: fc.oneof({ weight: 20, arbitrary: fc.constant(randomUUID()) }, hostile),
        method: fc.constantFrom(...methods),
        params: fc.oneof({ weight: 9, arbitrary: own }, { weight: 1, arbitrary: params }),
      })
      .map(toJson);
  const rpcBody = fc.oneof(
    rpc(['SendMessage', 'SendStreamingMessage', 'message/send', 'message/stream'], sent),
    rpc(['GetTask', 'CancelTask', 'SubscribeToTask', 'GetExtendedAgentCard', 'tasks/get'], named),
    rpc(['ListTasks'], listed),
    rpc(
      [
        'CreateTaskPushNotificationConfig',
        'GetTaskPushNotificationConfig',
        'ListTaskPushNotificationConfigs',
        'DeleteTaskPushNotificationConfig',
        'tasks/pushNotificationConfig/set',
      ],
      webhooks,
    ),
    rpc(['constructor', '', 'tasks/nothing'], hostile),
  );
  const body = fc.oneof(
    { weight: 8, arbitrary: rpcBody },
    { weight: 3, arbitrary: params.map(toJson) },
    { weight: 1, arbitrary: fc.json() },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
    { weight: 1, arbitrary: fc.uint8Array().map((bytes) => new Uint8Array(bytes)) },
  );
  const headerValue = fc.stringMatching(/^[\x21-\x7e\xa0-\xff]{0,40}$/);
  const headers = fc
    .record(
      {
        'a2a-version': fc.oneof({ weight: 8, arbitrary: fc.constantFrom('1.0', '0.3') }, headerValue),
        'content-type': fc.oneof({ weight: 8, arbitrary: fc.constant('application/json') }, headerValue),
        'a2a-extensions': headerValue,
        authorization: headerValue,
        'if-none-match': headerValue,
        'if-modified-since': headerValue,
        prefer: headerValue,
        origin: headerValue,
        traceparent: headerValue,
        'x-forwarded-for': headerValue,
        'last-event-id': fc.oneof(headerValue, fc.constantFrom('0', '1', '999999999', '-1')),
      },
      { requiredKeys: ['a2a-version', 'content-type'] },
    )
    .map((sent): Record<string, string> => sent);
  const segment = mostly(text).map((value) => encodeURIComponent(wellFormed(value)));
  const query = fc
    .dictionary(
      fc.constantFrom(
        'historyLength',
        'pageSize',
        'pageToken',
        'contextId',
        'status',
        'includeArtifacts',
        'tenant',
      ),
      mostly(text),
      { maxKeys: 3 },
    )
    .map((values) =>
      Object.entries(values)
        .map(([name, value]) => `${name}=${encodeURIComponent(wellFormed(value))}`)
        .join('&'),
    );
  const restPath = fc
    .tuple(
      fc.constantFrom('', '/t1', '/%00'),
      fc.constantFrom('/tasks', '/message:send', '/message:stream', '/extendedAgentCard', '/tasks/', '/'),
      fc.array(segment, { maxLength: 1 }),
      fc.constantFrom(
        '',
        ':subscribe',
        '/pushNotificationConfigs',
        '/pushNotificationConfigs/x',
        ':nothing',
        '/%zz',
      ),
      query,
    )
    .map(([tenant, base, [id = ''], end, search]) => `/a2a/v1${tenant}${base}${id}${end}?${search}`);
  const rpcCall = fc.record({
    method: fc.constant('POST'),
    path: fc.constant('/a2a/jsonrpc'),
    headers,
    body,
  });
  const restCall = fc
    .record({
      method: fc.constantFrom('GET', 'POST', 'DELETE', 'PUT', 'OPTIONS', 'HEAD'),
      path: restPath,
      headers,
      body,
    })
    .map((call) => (call.method === 'GET' || call.method === 'HEAD' ? { ...call, body: undefined } : call));
  const publicCall = fc.record({
    method: fc.constantFrom('GET', 'HEAD'),
    path: fc.constantFrom('/.well-known/agent-card.json', '/health/live', '/.well-known/%zz', '//', '/%00'),
    headers,
    body: fc.constant(undefined),
  });
  return fc.oneof(
    { weight: 6, arbitrary: rpcCall },
    { weight: 3, arbitrary: restCall },
    { weight: 1, arbitrary: publicCall },
  );
}

function wellFormed(value: unknown): string {
  return (typeof value === 'string' ? value : (JSON.stringify(value)?.slice(0, 200) ?? '')).toWellFormed();
}
