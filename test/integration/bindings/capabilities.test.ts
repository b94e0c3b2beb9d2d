/** Capabilities that an operator switches off are absent from the card and refused by every binding. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { freePort } from '../../support/network/ports.ts';
import {
  createRawGrpc,
  createRawJsonRpc,
  createRawRest,
  type RawBinding,
} from '../../support/clients/raw-bindings.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import type { AnyJson } from '../../support/clients/any-json.ts';

const extension = 'https://example.com/ext/terms/v1';

interface Api {
  url: string;
  bindings: RawBinding[];
  card: AnyJson;
}

describe('capabilities', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  /** Without A2A 0.3, streaming and webhooks. */
  let minimal: Api;
  /** With a required extension. */
  let strict: Api;
  before(async () => {
    stack = await startStack(cleanup);
    [minimal, strict] = await Promise.all([
      startApi({ A2A_VERSIONS: '1.0', A2A_STREAMING: 'false', A2A_PUSH_NOTIFICATIONS: 'false' }),
      startApi({ A2A_REQUIRED_EXTENSIONS: extension }),
    ]);
  });

  async function startApi(env: Record<string, string>): Promise<Api> {
    const [port, grpcPort] = await Promise.all([freePort(), freePort()]);
    const { url } = await stack.start('api', { PORT: String(port), GRPC_PORT: String(grpcPort), ...env });
    const bindings = [createRawJsonRpc(url), createRawRest(url), createRawGrpc(`127.0.0.1:${grpcPort}`)];
    cleanup.after(() => bindings.forEach((binding) => binding.close()));
    const card = await (await fetch(`${url}/.well-known/agent-card.json`)).json();
    return { url, bindings, card };
  }

  function createMessage(): object {
    return { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'hello' }] };
  }

  // [CORE-CAP-002]
  test('refuse streams when streaming is off', async () => {
    assert.notEqual(minimal.card.capabilities.streaming, true);
    assert.doesNotMatch(JSON.stringify(minimal.card), /replay/);
    for (const { name, stream } of minimal.bindings) {
      for (const [operation, params] of [
        ['SendStreamingMessage', { message: createMessage() }],
        ['SubscribeToTask', { id: randomUUID() }],
      ] as const) {
        const { value } = await stream(operation, params).next();
        assert.equal(value?.error?.reason, 'UNSUPPORTED_OPERATION', `${name} ${operation}`);
      }
    }
  });

  // [CORE-CAP-001]
  test('refuse webhook configs when push notifications are off', async () => {
    assert.notEqual(minimal.card.capabilities.pushNotifications, true);
    const webhook = { url: 'http://127.0.0.1:1/' };
    const taskId = randomUUID();
    for (const { name, call } of minimal.bindings) {
      for (const [operation, params] of [
        ['CreateTaskPushNotificationConfig', { taskId, ...webhook }],
        ['GetTaskPushNotificationConfig', { taskId, id: 'x' }],
        ['ListTaskPushNotificationConfigs', { taskId }],
        ['DeleteTaskPushNotificationConfig', { taskId, id: 'x' }],
        ['SendMessage', { message: createMessage(), configuration: { taskPushNotificationConfig: webhook } }],
      ] as const) {
        const { error } = await call(operation, params);
        assert.equal(error?.reason, 'PUSH_NOTIFICATION_NOT_SUPPORTED', `${name} ${operation}`);
      }
      const configuration = { returnImmediately: true };
      assert.ok((await call('SendMessage', { message: createMessage(), configuration })).result, name);
    }
  });

  test('refuse A2A 0.3 when it is off', async () => {
    assert.equal(minimal.card.protocolVersion, undefined, 'a field of 0.3');
    for (const { protocolVersion } of minimal.card.supportedInterfaces) {
      assert.equal(protocolVersion, '1.0');
    }
    for (const { name, call } of minimal.bindings) {
      const { error } = await call('GetTask', { id: randomUUID() }, { 'a2a-version': '0.3' });
      assert.equal(error?.reason, 'VERSION_NOT_SUPPORTED', name);
    }
    assert.equal(strict.card.protocolVersion, '0.3');
  });

  // [CORE-CAP-004]
  test('refuse calls without a required extension', async () => {
    const declared = strict.card.capabilities.extensions.filter(
      ({ required }: { required?: boolean }) => required,
    );
    assert.deepEqual(declared, [{ uri: extension, required: true }]);
    for (const { name, call } of strict.bindings) {
      assert.equal((await call('ListTasks', {})).error?.reason, 'EXTENSION_SUPPORT_REQUIRED', name);
      assert.ok((await call('ListTasks', {}, { 'a2a-extensions': extension })).result, name);
    }
    const response = await fetch(`${strict.url}/a2a/v1/tasks`, {
      headers: { 'a2a-version': '1.0', 'a2a-extensions': extension },
    });
    assert.equal(response.headers.get('a2a-extensions'), extension);
  });
});

describe('configuration of capabilities', () => {
  // [AUTH-TLS-001]
  test('requires an https PUBLIC_URL when callers send credentials', () => {
    const read = (PUBLIC_URL: string) => () =>
      readApiConfig({ AUTH_MODES: 'api-key', API_KEYS: `alice:${'0'.repeat(64)}`, PUBLIC_URL });
    const problem = /PUBLIC_URL must be https/;
    assert.throws(read('http://agent.example.com'), problem);
    for (const url of ['https://agent.example.com', 'http://localhost:8080']) {
      // Other variables are missing, which is reported as well.
      assert.throws(read(url), (error: Error) => !problem.test(error.message), url);
    }
  });

  test('refuses unknown versions and extensions that are not URIs', () => {
    const read = (env: Record<string, string>) => () => readApiConfig(env);
    assert.throws(read({ A2A_VERSIONS: '0.3' }), /A2A_VERSIONS must include 1\.0/);
    assert.throws(read({ A2A_VERSIONS: '1.0,2.0' }), /A2A_VERSIONS.*"2\.0"/);
    assert.throws(read({ A2A_REQUIRED_EXTENSIONS: 'terms' }), /A2A_REQUIRED_EXTENSIONS.*"terms"/);
  });
});
