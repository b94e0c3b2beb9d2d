/** What an operator turns off is not in the card, and is refused alike by every binding. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { freePort } from '../../support/ports.ts';
import { rawGrpc, rawJsonRpc, rawRest } from '../../support/raw-bindings.ts';
import { startStack } from '../../support/stack.ts';

const extension = 'https://example.com/ext/terms/v1';

test('what is offered', async (t) => {
  const stack = await startStack(t);
  const open = async (env: Record<string, string>) => {
    const grpcPort = await freePort();
    const api = await stack.start('api', {
      PORT: String(await freePort()),
      GRPC_PORT: String(grpcPort),
      ...env,
    });
    const bindings = [rawJsonRpc(api.url), rawRest(api.url), rawGrpc(`127.0.0.1:${grpcPort}`)];
    t.after(() => bindings.forEach((binding) => binding.close()));
    // oxlint-disable-next-line typescript/no-explicit-any -- looked at field by field, as a client would
    const card = (await (await fetch(`${api.url}/.well-known/agent-card.json`)).json()) as any;
    return { url: api.url, bindings, card };
  };
  const [little, strict] = await Promise.all([
    open({ A2A_VERSIONS: '1.0', A2A_STREAMING: 'false', A2A_PUSH_NOTIFICATIONS: 'false' }),
    open({ A2A_REQUIRED_EXTENSIONS: extension }),
  ]);
  const message = () => ({ messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'hello' }] });
  const id = randomUUID();
  const webhook = { url: 'http://127.0.0.1:1/' };

  // [CORE-CAP-001] [CORE-CAP-002]
  await t.test('streams and webhooks that are off', async () => {
    assert.notEqual(little.card.capabilities.streaming, true);
    assert.notEqual(little.card.capabilities.pushNotifications, true);
    assert.doesNotMatch(JSON.stringify(little.card), /replay/);
    for (const { name, call, stream } of little.bindings) {
      for (const [operation, params] of [
        ['SendStreamingMessage', { message: message() }],
        ['SubscribeToTask', { id }],
      ] as const) {
        const { value } = await stream(operation, params).next();
        assert.equal(value?.error?.reason, 'UNSUPPORTED_OPERATION', `${name} ${operation}`);
      }
      for (const [operation, params] of [
        ['CreateTaskPushNotificationConfig', { taskId: id, ...webhook }],
        ['GetTaskPushNotificationConfig', { taskId: id, id: 'x' }],
        ['ListTaskPushNotificationConfigs', { taskId: id }],
        ['DeleteTaskPushNotificationConfig', { taskId: id, id: 'x' }],
        ['SendMessage', { message: message(), configuration: { taskPushNotificationConfig: webhook } }],
      ] as const) {
        const { error } = await call(operation, params);
        assert.equal(error?.reason, 'PUSH_NOTIFICATION_NOT_SUPPORTED', `${name} ${operation}`);
      }
      const configuration = { returnImmediately: true };
      assert.ok((await call('SendMessage', { message: message(), configuration })).result, name);
    }
  });

  await t.test('A2A 0.3 that is off', async () => {
    assert.equal(little.card.protocolVersion, undefined, 'a field of 0.3');
    for (const { protocolVersion } of little.card.supportedInterfaces) assert.equal(protocolVersion, '1.0');
    for (const { name, call } of little.bindings) {
      const { error } = await call('GetTask', { id }, { 'a2a-version': '0.3' });
      assert.equal(error?.reason, 'VERSION_NOT_SUPPORTED', name);
    }
    assert.equal(strict.card.protocolVersion, '0.3');
  });

  // [CORE-CAP-004]
  await t.test('an extension that is required', async () => {
    const declared = strict.card.capabilities.extensions.filter(
      (one: { required?: boolean }) => one.required,
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

  // [AUTH-TLS-001]
  await t.test('callers who send credentials are sent to encrypted addresses alone', () => {
    const read = (PUBLIC_URL: string) => () =>
      readApiConfig({ AUTH_MODES: 'api-key', API_KEYS: `alice:${'0'.repeat(64)}`, PUBLIC_URL });
    const problem = /PUBLIC_URL must be https/;
    assert.throws(read('http://agent.example.com'), problem);
    for (const url of ['https://agent.example.com', 'http://localhost:8080']) {
      // Other variables are missing, which is told as well.
      assert.throws(read(url), (error: Error) => !problem.test(error.message), url);
    }
  });

  await t.test('settings that mean nothing', () => {
    const read = (env: Record<string, string>) => () => readApiConfig(env);
    assert.throws(read({ A2A_VERSIONS: '0.3' }), /A2A_VERSIONS must include 1\.0/);
    assert.throws(read({ A2A_VERSIONS: '1.0,2.0' }), /A2A_VERSIONS.*"2\.0"/);
    assert.throws(read({ A2A_REQUIRED_EXTENSIONS: 'terms' }), /A2A_REQUIRED_EXTENSIONS.*"terms"/);
  });
});
