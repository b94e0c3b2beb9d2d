/** The OpenAPI document: that it has all routes, and that requests and answers are as it says. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { restPath } from '#services/api/bindings/rest/rest.ts';
import { toReadablePath } from '#services/api/bindings/rest/routes.ts';
import { startApiServer } from '../../support/services/api-server.ts';
import { startApiService } from '../../support/services/api-service.ts';
import {
  DocumentCheck,
  escape,
  readDocument,
  resolve,
  type OpenApiDocument,
} from '../../support/clients/openapi.ts';

const page = 'a page for browsers';

/** Routes that the document leaves out, and why. */
const undescribed: Readonly<Record<string, string>> = {
  'GET /': 'the agent card, or a redirect of browsers to the console',
  'POST /': 'the same as POST /a2a/jsonrpc',
  'GET /.well-known/agent.json': 'the agent card, for clients of A2A 0.2',
  'GET /.well-known/oauth-protected-resource/mcp': 'the same as without /mcp',
  'GET /mcp': 'answers 405: streams of MCP are answers of POST',
  'DELETE /mcp': 'answers 405: there are no sessions',
  'GET /console': page,
  'GET /console/*': page,
  'GET /console/assets/{name}': page,
  'OPTIONS *': 'preflight requests of browsers',
};

const auth = {
  apiKeys: undefined,
  jwt: [{ issuer: 'https://issuer.example', audience: ['a2a'], jwksUrl: undefined }],
  cloudRunIam: undefined,
  operators: [],
} as unknown as NonNullable<Parameters<typeof startApiServer>[2]>['auth'];

function listOperations(document: OpenApiDocument) {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      key: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      operation,
      pointer: `#/paths/${escape(path)}/${method}`,
    })),
  );
}

describe('the OpenAPI document', () => {
  test('has every route, except those that this test lists', async (t) => {
    const readConsole = async () => ({ html: '', assets: new Map() });
    const { url, routes } = await startApiServer(
      t,
      {},
      {
        auth: auth!,
        readConsole,
        corsOrigins: ['https://app.example'],
        mcp: true,
        geminiSecrets: ['whsec_eA=='],
      },
    );
    const documents = [await readDocument(url), await readDocument(url, '0.3')];
    const described = new Set(documents.flatMap(listOperations).map(({ key }) => key));
    const served = new Set(routes.map((route) => `${route.method} ${toReadablePath(route.url)}`));
    const missing = [...served].filter((key) => {
      // The same with the tenant in the path: clients of the document send it in the query.
      const plain = key.replace(`${restPath}/{tenant}/`, `${restPath}/`);
      const isHead = key.startsWith('HEAD ') && served.has(key.replace('HEAD', 'GET'));
      return !isHead && !described.has(plain) && undescribed[key] === undefined;
    });
    assert.deepEqual(missing, []);
    assert.deepEqual(
      [...described].filter((key) => !served.has(key)),
      [],
    );
    assert.deepEqual(
      Object.keys(undescribed).filter((key) => !served.has(key)),
      [],
    );
  });

  test('is public, revalidated, and has the security schemes of the card', async (t) => {
    const { url } = await startApiServer(t, {}, { auth: auth!, publicUrl: 'https://agent.example/base' });
    const response = await fetch(`${url}/openapi.json`);
    const document = (await response.json()) as OpenApiDocument;
    const etag = response.headers.get('etag') ?? '';
    assert.equal(response.headers.get('cache-control'), 'public, max-age=60');
    const again = await fetch(`${url}/openapi.json`, { headers: { 'if-none-match': etag } });
    assert.equal(again.status, 304);
    assert.deepEqual(document['servers'], [{ url: 'https://agent.example/base' }]);
    assert.deepEqual(document['security'], [{ oidc: [] }]);
    assert.equal(document.components['securitySchemes']?.['oidc'].type, 'openIdConnect');
    assert.deepEqual(document.paths['/.well-known/agent-card.json']?.['get'].security, []);
    assert.equal(document.paths['/a2a/v1/tasks']?.['get'].security, undefined);
  });

  test('names each operation once, and declares the parameters of each path', async (t) => {
    const { url } = await startApiServer(t, {});
    for (const version of ['1.0', '0.3'] as const) {
      const document = await readDocument(url, version);
      const operations = listOperations(document);
      const ids = operations.map(({ operation }) => operation.operationId);
      assert.deepEqual([...new Set(ids)], ids);
      for (const { path, operation } of operations) {
        const parameters = (operation.parameters ?? []).map((each: object) => resolve(document, each));
        const inPath = parameters.filter((each: { in: string }) => each.in === 'path');
        const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
        assert.deepEqual(
          inPath.map(({ name }: { name: string }) => name),
          names,
          path,
        );
      }
    }
  });

  test('has examples that match their schemas', async (t) => {
    const { url } = await startApiServer(t, {});
    const document = await readDocument(url);
    const check = new DocumentCheck(document);
    let count = 0;
    for (const { key, operation, pointer } of listOperations(document)) {
      const bodies = [
        ['requestBody', operation.requestBody],
        ...Object.entries(operation.responses).map(([status, answer]) => [`responses/${status}`, answer]),
      ] as [string, OpenApiDocument | undefined][];
      for (const [place, body] of bodies) {
        for (const [type, media] of Object.entries<{ example?: unknown }>(body?.['content'] ?? {})) {
          if (media.example === undefined) continue;
          check.check(`${pointer}/${place}/content/${escape(type)}/schema`, media.example, key);
          count += 1;
        }
      }
    }
    assert.ok(count >= 20, `${count} examples`);
  });

  test('has requests that are accepted, and refused with a field less or more', async (t) => {
    const { url } = await startApiService(t);
    const document = await readDocument(url);
    const check = new DocumentCheck(document);
    const send = async (method: string, path: string, body: unknown) => {
      const response = await fetch(url + path, {
        method,
        headers: { 'a2a-version': '1.0', 'content-type': 'application/json' },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const contentType = response.headers.get('content-type') ?? '';
      if (!contentType.includes('json')) {
        await response.body?.cancel();
        return { status: response.status };
      }
      const answer = (await response.json()) as Record<string, { id: string }>;
      check.checkAnswer({ method, path, status: response.status, contentType, body: answer });
      return { status: response.status, answer };
    };
    const [sample] = [document.paths['/a2a/v1/message:send']?.['post'].requestBody];
    const first = await send('POST', '/a2a/v1/message:send', sample.content['application/json'].example);
    const taskId = first.answer?.['task']?.id ?? '';
    const values: Record<string, string> = { taskId, id: taskId, configId: 'hook', event: '1' };
    for (const { key, method, path, operation } of listOperations(document)) {
      const { requestBody } = operation;
      const example = requestBody?.content['application/json'].example;
      if (example === undefined) continue;
      const target = path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => values[name] ?? randomUUID());
      const body = key.includes('message:') ? withNewId(example) : example;
      const { status } = await send(method, target, body);
      // The webhook does not exist, and no worker runs.
      const isMissing = path.includes('{configId}') || path.endsWith(':drain');
      assert.equal(status, isMissing ? 404 : 200, key);
      const { required = [] } = resolve(document, requestBody.content['application/json'].schema);
      for (const field of path.includes('jsonrpc') ? [] : required) {
        const { [field]: _left, ...rest } = body;
        assert.equal((await send(method, target, rest)).status, 400, `${key} without ${field}`);
      }
    }
    const ofExtensions = ['webhooks', 'task views', 'schedules', 'operator'];
    for (const { key, method, path, operation } of listOperations(document)) {
      if (!['POST', 'PUT'].includes(method) || !ofExtensions.includes(operation.tags[0])) continue;
      const target = path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => values[name] ?? '');
      const body = { ...operation.requestBody?.content['application/json'].example, surplus: 1 };
      const { status, answer } = await send(method, target, body);
      assert.equal(status, 400, key);
      assert.match(JSON.stringify(answer), /surplus.* is not a field of this request/, key);
    }
    const { required } = document.components['schemas']!['Message'];
    const { message } = sample.content['application/json'].example;
    for (const field of required) {
      const { [field]: _left, ...rest } = message;
      const { status } = await send('POST', '/a2a/v1/message:send', { message: rest });
      assert.equal(status, 400, `a message without ${field}`);
    }
  });
});

function withNewId(example: { message: object }): object {
  return { ...example, message: { ...example.message, messageId: randomUUID() } };
}
