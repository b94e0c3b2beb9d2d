/** The audit log: every route and operation that changes something writes an entry, and no entry has contents. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { operationScopes } from '#services/api/handler/scopes.ts';
import { createAuditLog } from '#shared/runtime/audit.ts';
import { sha256 } from '../../support/services/api-keys.ts';
import { startApiServer } from '../../support/services/api-server.ts';
import { startApiService, type TestApiService } from '../../support/services/api-service.ts';
import { createCleanup, createSuiteCleanup } from '../../support/cleanup.ts';
import { createTempDir } from '../../support/temp-dir.ts';

interface Entry {
  action: string;
  result: string;
  reason?: string | number;
  owner?: string;
  keyLabel?: string;
  address?: string;
  tenant?: string;
  time: string;
  log: string;
  target?: Record<string, string>;
  details?: object;
}

const marker = 'the-secret-content';
const key = { 'x-api-key': 'alice-key' };
const auth = {
  AUTH_MODES: 'api-key',
  API_KEYS: `alice:${sha256('alice-key')}:laptop,bob:${sha256('bob-key')}:reader scopes=read`,
};

describe('the audit log', () => {
  const cleanup = createSuiteCleanup();
  let api: TestApiService;
  let file: string;
  let taskId: string;
  before(async () => {
    file = path.join(createTempDir(cleanup), 'audit.log');
    api = await startApiService(cleanup, { ...auth, AUDIT_LOG: file });
    const { result } = await api.bindings[0]!.call('SendMessage', createSend(), key);
    taskId = result.task.id;
  });

  function createSend(): Record<string, unknown> {
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: marker }] };
    return { message, configuration: { returnImmediately: true } };
  }

  function readEntries(from = file): Entry[] {
    return readFileSync(from, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Entry);
  }

  /** Runs a call and returns the entries that it has written. */
  async function watch(run: () => Promise<unknown>): Promise<Entry[]> {
    const { length } = readEntries();
    await run();
    return readEntries().slice(length);
  }

  test('has an entry for each operation that changes something, in every binding', async () => {
    const config = { taskId, id: 'hook', url: 'http://127.0.0.1:9/a-secret-path' };
    const parameters: Record<string, () => Record<string, unknown>> = {
      SendMessage: createSend,
      SendStreamingMessage: createSend,
      CreateTaskPushNotificationConfig: () => config,
      DeleteTaskPushNotificationConfig: () => ({ taskId, id: 'hook' }),
      CancelTask: () => ({ id: taskId }),
    };
    const changing = Object.entries(operationScopes).filter(
      ([, scope]) => scope !== undefined && scope !== 'read',
    );
    for (const [operation] of changing) {
      for (const binding of api.bindings) {
        const params = parameters[operation]?.() ?? assert.fail(`${operation} has no parameters here`);
        const call = operation.includes('Streaming')
          ? () => binding.stream(operation, params, AbortSignal.timeout(5_000), key).next()
          : () => binding.call(operation, params, key);
        const [entry, ...more] = await watch(call);
        const action = operation === 'SendStreamingMessage' ? 'SendMessage' : operation;
        assert.equal(entry?.action, action, `${binding.name} ${operation}`);
        assert.deepEqual([entry.owner, entry.keyLabel, entry.log], ['key:alice', 'laptop', 'audit']);
        assert.match(entry.address ?? '', /127\.0\.0\.1/);
        assert.match(entry.target?.['taskId'] ?? '', /^[0-9a-f-]{36}$/);
        assert.deepEqual(more, [], `${binding.name} ${operation}`);
      }
    }
    // The first binding has canceled the task.
    const results = readEntries().flatMap(({ action, result }) => (action === 'CancelTask' ? [result] : []));
    assert.deepEqual(results, ['ok', 'refused', 'refused']);
  });

  test('has an entry for each route that changes something', async (t) => {
    const { routes } = await startApiServer(t, {});
    const changing = routes.filter(({ method }) => !['GET', 'HEAD', 'OPTIONS'].includes(method));
    assert.ok(changing.length > 20, `${changing.length} routes`);
    for (const { method, url, audit } of changing) {
      if (audit === 'operation') continue;
      const filled = url
        .replace(':taskId', taskId)
        .replace(':tenant', 'red')
        .replaceAll('::', '\u0000')
        .replaceAll(/:\w+/g, 'x')
        .replaceAll('\u0000', ':');
      const headers = { ...key, 'content-type': 'application/json', 'a2a-version': '1.0' };
      const entries = await watch(() =>
        fetch(api.url + filled, { method, headers, ...(method !== 'DELETE' && { body: '{}' }) }),
      );
      assert.equal(entries.length, 1, `${method} ${url}`);
      assert.ok(entries[0]?.action.startsWith(`${method} /`), `${method} ${url}: ${entries[0]?.action}`);
      assert.doesNotMatch(JSON.stringify(entries[0]?.target), /token/);
    }
  });

  test('has an entry for each call that the scope of its key refuses', async () => {
    const reader = { 'x-api-key': 'bob-key' };
    for (const binding of api.bindings) {
      const [entry] = await watch(() => binding.call('SendMessage', createSend(), reader));
      assert.deepEqual([entry?.action, entry?.result, entry?.owner], ['SendMessage', 'refused', 'key:bob']);
    }
    const headers = { ...reader, 'a2a-version': '1.0' };
    const [route] = await watch(() => fetch(`${api.url}/a2a/v1/schedules/x`, { method: 'DELETE', headers }));
    assert.deepEqual(
      [route?.action, route?.result, route?.reason],
      ['DELETE /schedules/:id', 'refused', 403],
    );
  });

  test('has an entry for each read that names an owner', async () => {
    const headers = { ...key, 'a2a-version': '1.0' };
    const [entry] = await watch(() => fetch(`${api.url}/a2a/v1/stats?owner=key:carl`, { headers }));
    assert.deepEqual([entry?.action, entry?.result], ['GET /stats', 'refused']);
    assert.deepEqual(entry?.details, { owner: 'key:carl' });
  });

  test('has no entry for reads of one owner, and no contents', async () => {
    const entries = await watch(async () => {
      for (const binding of api.bindings) await binding.call('GetTask', { id: taskId }, key);
      await fetch(`${api.url}/a2a/v1/stats`, { headers: { ...key, 'a2a-version': '1.0' } });
    });
    assert.deepEqual(entries, []);
    const text = readFileSync(file, 'utf8');
    for (const content of [marker, 'a-secret-path', 'alice-key']) assert.ok(!text.includes(content), content);
  });

  test('has all entries in order, each before its call is answered', async () => {
    const own = path.join(createTempDir(cleanup), 'own.log');
    const audit = createAuditLog('api', own, assert.ifError);
    const read = () => readFileSync(own, 'utf8').match(/"action":"[^"]*"/g) ?? [];
    const write = (action: string) => audit.writeWithOthers({ action, result: 'ok' });
    const written = [write('a'), write('b')];
    audit.write({ action: 'c', result: 'ok' });
    written.push(write('d'));
    await Promise.all(written);
    assert.deepEqual(
      read(),
      ['a', 'b', 'c', 'd'].map((action) => `"action":"${action}"`),
    );
    await write('e');
    assert.equal(read().length, 5);
  });

  test('sums up refused credentials, at the latest when the service stops', async (t) => {
    const stop = createCleanup();
    const log = path.join(createTempDir(t), 'audit.log');
    const { url } = await startApiService(stop, { ...auth, AUDIT_LOG: log });
    const headers = { 'x-api-key': 'a-guess', 'a2a-version': '1.0' };
    assert.equal((await fetch(`${url}/a2a/v1/stats`, { headers })).status, 401);
    await stop.run();
    const [entry, ...others] = readEntries(log);
    assert.deepEqual([entry?.action, entry?.result, others], ['refuse credentials', 'refused', []]);
    assert.doesNotMatch(JSON.stringify(entry), /a-guess/);
  });
});
