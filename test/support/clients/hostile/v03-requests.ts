/** Arbitrary requests of A2A 0.3 over JSON-RPC and HTTP+JSON: mostly well-formed, with hostile values in any field. */
import { randomUUID } from 'node:crypto';
import * as fc from 'fast-check';
import type { HostileRequest } from './requests.ts';
import { createHostileValues, toJson } from './values.ts';

const headers = { 'content-type': 'application/json' };

/** @param ids of objects that exist, so that some requests find them */
export function createHostileV03Requests(ids: readonly string[]): fc.Arbitrary<HostileRequest> {
  const { text, number, hostile, mostly, object } = createHostileValues(ids);
  const exactly = (fields: Record<string, fc.Arbitrary<unknown>>) => fc.record(fields);
  const texts = mostly(fc.array(mostly(text), { maxLength: 2 }));
  const metadata = mostly(fc.dictionary(text, hostile, { maxKeys: 3 }));
  const url = mostly(fc.oneof(text, fc.constant('http://127.0.0.1:9/')));
  const webhook = mostly(
    object({
      id: mostly(text),
      url,
      token: mostly(text),
      authentication: mostly(object({ schemes: texts, credentials: mostly(text) })),
    }),
  );
  const common = {
    contextId: mostly(text),
    taskId: mostly(text),
    extensions: texts,
    referenceTaskIds: texts,
    metadata,
  };
  const sending = {
    acceptedOutputModes: texts,
    blocking: mostly(fc.boolean()),
    historyLength: mostly(number),
  };

  const rpcFile = mostly(
    object({ bytes: mostly(text), uri: url, mimeType: mostly(text), name: mostly(text) }),
  );
  const rpcPart = mostly(
    fc.oneof(
      exactly({ kind: fc.constant('text'), text: mostly(text), metadata }),
      exactly({ kind: fc.constant('file'), file: rpcFile, metadata }),
      exactly({ kind: fc.constant('data'), data: mostly(fc.dictionary(text, hostile, { maxKeys: 3 })) }),
    ),
  );
  const rpcMessage = mostly(
    fc.record(
      {
        kind: mostly(fc.constant('message')),
        messageId: mostly(text),
        role: mostly(fc.constant('user')),
        parts: mostly(fc.array(rpcPart, { maxLength: 3 })),
        ...common,
      },
      { requiredKeys: ['messageId', 'role', 'parts'] },
    ),
  );
  const send = exactly({
    message: rpcMessage,
    configuration: mostly(object({ ...sending, pushNotificationConfig: webhook })),
  });
  const named = object({
    id: mostly(text),
    historyLength: mostly(number),
    taskId: mostly(text),
    pushNotificationConfigId: mostly(text),
    pushNotificationConfig: webhook,
    metadata,
    tenant: mostly(text),
  });
  const task = ['tasks/get', 'tasks/cancel', 'tasks/resubscribe', 'agent/getAuthenticatedExtendedCard'];
  const config = ['set', 'get', 'list', 'delete'].map((name) => `tasks/pushNotificationConfig/${name}`);
  const rpcBody = fc
    .oneof(
      fc.record({ method: fc.constantFrom('message/send', 'message/stream'), params: mostly(send) }),
      fc.record({ method: fc.constantFrom(...task, ...config), params: mostly(named) }),
    )
    .map((call) => toJson({ jsonrpc: '2.0', id: randomUUID(), ...call }));

  const restFile = mostly(
    object({ fileWithUri: url, fileWithBytes: mostly(text), mimeType: mostly(text), name: mostly(text) }),
  );
  const restPart = mostly(
    fc.oneof(
      exactly({ text: mostly(text), metadata }),
      exactly({ file: restFile, metadata }),
      exactly({ data: mostly(object({ data: hostile })) }),
    ),
  );
  const restMessage = mostly(
    fc.record(
      {
        messageId: mostly(text),
        role: mostly(fc.constant('ROLE_USER')),
        content: mostly(fc.array(restPart, { maxLength: 3 })),
        ...common,
      },
      { requiredKeys: ['messageId', 'role', 'content'] },
    ),
  );
  const restSend = exactly({
    message: restMessage,
    configuration: mostly(object({ ...sending, pushNotification: webhook })),
  });
  const restConfig = fc.oneof(
    object({ config: mostly(object({ pushNotificationConfig: webhook })), configId: mostly(text) }),
    object({ pushNotificationConfig: webhook }),
  );
  const id = fc.constantFrom(...ids, 'x');
  const restBody = fc.oneof(
    fc.record({ path: fc.constantFrom('/message:send', '/message:stream'), body: mostly(restSend) }),
    fc.record({
      path: id.map((taskId) => `/tasks/${taskId}/pushNotificationConfigs`),
      body: mostly(restConfig),
    }),
    fc.record({ path: id.map((taskId) => `/tasks/${taskId}:cancel`), body: hostile }),
  );

  const method = 'POST';
  return fc.oneof(
    { weight: 2, arbitrary: rpcBody.map((body) => ({ method, path: '/a2a/jsonrpc', headers, body })) },
    {
      weight: 1,
      arbitrary: restBody.map(({ path, body }) => ({
        method,
        path: `/a2a/v1${path}`,
        headers,
        body: toJson(body),
      })),
    },
  );
}
