/** The door of the front door over HTTP: credentials, limits, headers, and the card that tells of them. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { AgentCard, ListTasksRequest, verifyAgentCardSignature } from '@a2a-js/sdk';
import { A2AService } from '@a2a-js/sdk/server/grpc';
import {
  credentials,
  makeGenericClientConstructor,
  Metadata,
  status,
  type StatusObject,
} from '@grpc/grpc-js';
import { createRemoteJWKSet, exportJWK, generateKeyPair, type JWK } from 'jose';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/api-keys.ts';
import { freePort } from '../../support/ports.ts';
import { startStack, type Stack } from '../../support/stack.ts';

const cardPath = '/.well-known/agent-card.json';
const origin = 'https://app.example';

test('the door', async (t) => {
  const [files, grpcPort] = await Promise.all([configurationFiles(t), freePort()]);
  const grpcTarget = `127.0.0.1:${grpcPort}`;
  const stack = await startStack(t, {
    ...apiKeysEnv(),
    ...files,
    CORS_ORIGINS: origin,
    MAX_STREAMS_PER_CALLER: '2',
    MAX_STREAMS: '3',
    GRPC_PORT: String(grpcPort),
  });
  const api = await stack.start('api');
  const get = (where: string, headers: Record<string, string> = {}) =>
    fetch(`${stack.apiUrl}${where}`, { headers });

  // [AUTH-SERVER-002] [CORE-ERR-003] [AUTH-SECRET-001] [CARD-DISC-001]
  await t.test('health and the card are public, and nothing else', async () => {
    for (const where of ['/health/live', '/health/ready', cardPath, '/.well-known/jwks.json']) {
      assert.equal((await get(where)).status, 200, where);
    }
    for (const method of ['GET', 'HEAD'])
      for (const where of [
        '/a2a/v1/tasks',
        '/a2a/v1/tasks/x/',
        '/a2a/v1/tenant/tasks',
        '/a2a/v1/extendedAgentCard',
      ])
        assert.equal((await fetch(stack.apiUrl + where, { method })).status, 401, `${method} ${where}`);
    const response = await rpc(stack, 'ListTasks', {});
    assert.equal(response.status, 401);
    assert.equal(response.headers.get('www-authenticate'), 'ApiKey realm="a2a", header="x-api-key"');
    const { id, error } = (await response.json()) as {
      id: unknown;
      error: { code: number; message: string };
    };
    assert.equal(id, null);
    assert.equal(error.code, -32000);
    assert.match(error.message, /x-api-key/);

    const wrong = await rpc(stack, 'ListTasks', {}, { 'x-api-key': 'secret-guess' });
    assert.equal(wrong.status, 401);
    assert.doesNotMatch(await wrong.text(), /secret-guess/);
    assert.equal((await rpc(stack, 'ListTasks', {}, aliceKey)).status, 200);
    assert.doesNotMatch(api.running.output(), /secret-guess|alice-key/);
  });

  await t.test('answers are not for browsers to guess at, nor for caches to keep', async () => {
    for (const response of [
      await rpc(stack, 'ListTasks', {}, aliceKey),
      await rpc(stack, 'ListTasks', {}),
      await get('/nothing'),
    ]) {
      assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
      assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'none'/);
      assert.equal(response.headers.get('cache-control'), 'no-store');
      assert.equal(response.headers.get('strict-transport-security'), null, 'it is not on https');
    }
  });

  await t.test('pages of the origins that are named may call, and others may not', async () => {
    const preflight = (from: string) =>
      fetch(`${stack.apiUrl}/a2a/jsonrpc`, {
        method: 'OPTIONS',
        headers: {
          origin: from,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'x-api-key,a2a-version',
        },
      });
    const allowed = await preflight(origin);
    assert.equal(allowed.status, 204);
    assert.equal(allowed.headers.get('access-control-allow-origin'), origin);
    assert.match(allowed.headers.get('access-control-allow-headers') ?? '', /x-api-key/);
    assert.equal((await preflight('https://evil.example')).headers.get('access-control-allow-origin'), null);
    const refused = await rpc(stack, 'ListTasks', {}, { origin });
    assert.equal(refused.status, 401);
    assert.equal(refused.headers.get('access-control-allow-origin'), origin, 'a page can read why');
  });

  await t.test('the card is kept by its tag and its time', async () => {
    const first = await get(cardPath);
    const etag = first.headers.get('etag') ?? '';
    const modified = first.headers.get('last-modified') ?? '';
    assert.match(etag, /^"[\w-]+"$/);
    assert.match(first.headers.get('cache-control') ?? '', /max-age=\d+/);
    for (const [headers, status] of [
      [{ 'if-none-match': etag }, 304],
      [{ 'if-none-match': `"other", W/${etag}` }, 304],
      [{ 'if-none-match': '*' }, 304],
      [{ 'if-none-match': '"other"' }, 200],
      [{ 'if-none-match': '"other"', 'if-modified-since': modified }, 200],
      [{ 'if-modified-since': modified }, 304],
      [{ 'if-modified-since': 'Thu, 01 Jan 2015 00:00:00 GMT' }, 200],
      [{ 'if-modified-since': 'nonsense' }, 200],
    ] as [Record<string, string>, number][]) {
      const response = await get(cardPath, headers);
      assert.equal(response.status, status, JSON.stringify(headers));
      assert.equal(response.headers.get('etag'), etag);
      assert.equal((await response.text()).length > 0, status === 200);
    }
  });

  // [CARD-SIGN-001] [CARD-SIGN-003]
  await t.test('the SDK verifies the signature with the key that is published', async () => {
    const { body, kid } = await publicCard(stack);
    const card = AgentCard.fromJSON(body);
    const verify = verifyAgentCardSignature(async (askedFor, jku) => {
      assert.equal(askedFor, kid);
      assert.equal(jku, `${stack.apiUrl}/.well-known/jwks.json`);
      return createRemoteJWKSet(new URL(jku))({ alg: 'ES256', kid: askedFor });
    });
    await verify(card);
    const told = console.debug;
    console.debug = () => undefined; // the SDK tells there of what does not verify
    t.after(() => (console.debug = told));
    await assert.rejects(verify({ ...card, name: 'somebody else' }), /No valid signatures/);
    const jwks = (await (await get('/.well-known/jwks.json')).json()) as { keys: JWK[] };
    assert.equal(jwks.keys[0]?.d, undefined, 'the private part stays here');
  });

  // [CARD-EXT-001] [CARD-STRUCT-001]
  // [CARD-EXT-002]
  await t.test('the card says how to authenticate, and that there is more to see then', async () => {
    const { body } = await publicCard(stack);
    assert.deepEqual(body.securityRequirements, [{ schemes: { apiKey: {} } }]);
    assert.equal(body.securitySchemes.apiKey.apiKeySecurityScheme.name, 'x-api-key');
    assert.equal(body.capabilities.extendedAgentCard, true);
    assert.doesNotMatch(JSON.stringify(body), /audit/);
    assert.equal((await rpc(stack, 'GetExtendedAgentCard', {})).status, 401);
    const { result } = (await (await rpc(stack, 'GetExtendedAgentCard', {}, bobKey)).json()) as {
      result: object;
    };
    const extended = AgentCard.fromJSON(result);
    assert.ok(extended.skills.some(({ id }) => id === 'audit'));
    assert.ok(extended.skills.length > body.skills.length);
    await verifyAgentCardSignature((kid) =>
      createRemoteJWKSet(new URL(`${stack.apiUrl}/.well-known/jwks.json`))({ alg: 'ES256', kid }),
    )(extended);
  });

  // [BIND-EQUIV-004]
  await t.test('the other bindings stand behind the same door', async () => {
    const rest = await get('/a2a/v1/tasks', { 'a2a-version': '1.0' });
    assert.equal(rest.status, 401);
    assert.match(rest.headers.get('www-authenticate') ?? '', /^ApiKey/);
    const { error } = (await rest.json()) as { error: { status: string; message: string } };
    assert.equal(error.status, 'UNAUTHENTICATED');
    assert.match(error.message, /x-api-key/);
    assert.equal((await get('/a2a/v1/tasks', { 'a2a-version': '1.0', ...aliceKey })).status, 200);

    const refused = await grpcListTasks(grpcTarget, {});
    assert.equal(refused.code, status.UNAUTHENTICATED, refused.details);
    assert.match(refused.details, /x-api-key/);
    assert.equal((await grpcListTasks(grpcTarget, { 'x-api-key': 'wrong' })).code, status.UNAUTHENTICATED);
    assert.equal((await grpcListTasks(grpcTarget, aliceKey)).code, status.OK);
  });

  await t.test('a task over HTTP+JSON is kept by its tag, and waited for', async () => {
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'hello' }] };
    const sent = await rpc(
      stack,
      'SendMessage',
      { message, configuration: { returnImmediately: true } },
      aliceKey,
    );
    const { id } = ((await sent.json()) as { result: { task: { id: string } } }).result.task;
    const read = (headers: Record<string, string>, key = aliceKey) =>
      get(`/a2a/v1/tasks/${id}`, { 'a2a-version': '1.0', ...key, ...headers });
    const etag = (await read({})).headers.get('etag') ?? '';
    assert.match(etag, /^"/);
    const unchanged = await read({ 'if-none-match': etag });
    assert.equal(unchanged.status, 304);
    assert.equal(unchanged.headers.get('etag'), etag);
    assert.equal((await read({ 'if-none-match': etag }, bobKey)).status, 404);

    const waiting = read({ 'if-none-match': etag, prefer: 'wait=20' });
    assert.equal((await rpc(stack, 'CancelTask', { id }, aliceKey)).status, 200);
    const changed = await waiting;
    assert.equal(changed.status, 200);
    assert.equal(changed.headers.get('preference-applied'), 'wait=20');
    assert.notEqual(changed.headers.get('etag'), etag);
    assert.match(await changed.text(), /TASK_STATE_CANCELED/);
  });

  await t.test('streams are limited for each caller and for all, and given back', async () => {
    const open = async (
      key: Record<string, string>,
    ): Promise<{ status: number; close(): void; after: string | null }> => {
      const gone = new AbortController();
      const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'hello' }] };
      const response = await rpc(stack, 'SendStreamingMessage', { message }, key, gone.signal);
      if (response.status === 200) assert.equal(response.headers.get('content-type'), 'text/event-stream');
      return {
        status: response.status,
        close: () => gone.abort(),
        after: response.headers.get('retry-after'),
      };
    };
    const mine = [await open(aliceKey), await open(aliceKey)];
    assert.deepEqual(
      mine.map(({ status }) => status),
      [200, 200],
    );
    const third = await open(aliceKey);
    assert.equal(third.status, 429);
    assert.ok(Number(third.after) > 0);
    assert.equal((await open(bobKey)).status, 200);
    assert.equal((await open(bobKey)).status, 429, 'the process has three');
    mine[0]?.close();
    const deadline = performance.now() + 30_000;
    while ((await open(aliceKey)).status !== 200) assert.ok(performance.now() < deadline, 'never given back');
  });

  await t.test(
    'a caller that calls too often is told when to come back, and others are not held up',
    async () => {
      const other = await stack.start('api', { PORT: '0', GRPC_PORT: '', RATE_LIMIT_PER_MINUTE: '3' });
      const call = (key: Record<string, string>) => rpc({ apiUrl: other.url }, 'ListTasks', {}, key);
      const statuses = [];
      for (let i = 0; i < 4; i += 1) statuses.push((await call(aliceKey)).status);
      assert.deepEqual(statuses, [200, 200, 200, 429]);
      const refused = await call(aliceKey);
      assert.ok(Number(refused.headers.get('retry-after')) >= 1);
      assert.match(await refused.text(), /Too many requests: try again in \d+ s/);
      assert.equal((await call(bobKey)).status, 200);
      assert.equal((await fetch(`${other.url}/health/live`)).status, 200);
    },
  );
});

async function grpcListTasks(target: string, headers: Record<string, string>): Promise<StatusObject> {
  const Client = makeGenericClientConstructor(A2AService, 'A2AService');
  const client = new Client(target, credentials.createInsecure());
  const metadata = new Metadata();
  for (const [name, value] of Object.entries({ 'a2a-version': '1.0', ...headers })) metadata.set(name, value);
  try {
    return await new Promise<StatusObject>((resolve) => {
      const call = client['listTasks']?.(
        ListTasksRequest.fromJSON({ pageSize: 10 }),
        metadata,
        () => undefined,
      );
      call?.on('status', resolve);
    });
  } finally {
    client.close();
  }
}

async function publicCard(stack: Stack) {
  // oxlint-disable-next-line typescript/no-explicit-any -- looked at field by field, as a client would
  const body = (await (await fetch(`${stack.apiUrl}${cardPath}`)).json()) as any;
  const header = JSON.parse(Buffer.from(body.signatures[0].protected, 'base64url').toString()) as {
    kid: string;
  };
  return { body, kid: header.kid };
}

function rpc(
  { apiUrl }: { apiUrl: string },
  method: string,
  params: object,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(`${apiUrl}/a2a/jsonrpc`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'a2a-version': '1.0', ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    ...(signal !== undefined && { signal }),
  });
}

/** A signing key, and the agent of this project with a skill for those who have authenticated. */
async function configurationFiles(t: TestContext): Promise<Record<string, string>> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'longhaul-callers-'));
  t.after(() => rm(folder, { recursive: true }));
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const [key, agent] = [path.join(folder, 'key.json'), path.join(folder, 'agent.yaml')];
  await writeFile(key, JSON.stringify(await exportJWK(privateKey)));
  const yaml = await readFile('agent.yaml', 'utf8');
  await writeFile(
    agent,
    `${yaml}\nextendedSkills:\n  - { id: audit, name: Audit, description: Looks into accounts., tags: [numbers] }\n`,
  );
  return { CARD_SIGNING_KEY_FILE: key, AGENT_FILE: agent };
}
