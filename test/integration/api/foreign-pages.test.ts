/** Pages of other sites do not drive a server without authentication on this machine. */
import assert from 'node:assert/strict';
import diagnostics from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { describe, test, type TestContext } from 'node:test';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import {
  startApiServer,
  createWireTask,
  type TestApiServerOptions,
} from '../../support/services/api-server.ts';
import { browser, openPage } from '../../support/clients/browser/browser.ts';
import { listen } from '../../support/network/listen.ts';
import { postJsonRpc } from '../../support/clients/json-rpc.ts';
import { waitFor } from '../../support/wait-for.ts';

const localHosts = new Set(['localhost', '127.0.0.1', '[::1]', 'agent.example']);
const message = { messageId: 'm', role: 'ROLE_USER', parts: [{ text: 'read http://localhost/secret' }] };
const call = { jsonrpc: '2.0', id: 1, method: 'SendMessage', params: { message } };

/** Starts a server that counts the operations that are called. */
async function startCounting(t: TestContext, options: TestApiServerOptions = {}) {
  const called: string[] = [];
  const operation = (name: string) => async () => {
    called.push(name);
    return createWireTask('t');
  };
  const operations = {
    sendMessage: operation('sendMessage'),
    cancelTask: operation('cancelTask'),
    getTask: operation('getTask'),
  };
  return { called, ...(await startApiServer(t, operations, { localHosts, ...options })) };
}

interface Sent {
  path?: string;
  headers?: Record<string, string>;
  /** Undefined: a GET. */
  body?: string | undefined;
}

async function send(url: string, sent: Sent): Promise<{ status: number | undefined; text: string }> {
  const { path, headers, body } = { path: '/a2a/jsonrpc', body: JSON.stringify(call), ...sent };
  const versioned = { 'a2a-version': '1.0', ...headers };
  const outgoing = request(`${url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: versioned,
  });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { status: response.statusCode, text: Buffer.concat(await response.toArray()).toString() };
}

const json = { 'content-type': 'application/json' };

describe('pages of other sites', () => {
  test('refuses bodies that are not declared as JSON', async (t) => {
    const { url, called } = await startCounting(t);
    const restBody = JSON.stringify({ message });
    for (const headers of [{}, { 'content-type': 'text/plain' }, { 'content-type': 'multipart/form-data' }]) {
      assert.equal((await send(url, { headers })).status, 415, JSON.stringify(headers));
      const rest = await send(url, { headers, path: '/a2a/v1/message:send', body: restBody });
      assert.match(rest.text, /must be application\/a2a\+json or application\/json/);
    }
    assert.deepEqual(called, []);
    assert.equal((await send(url, { headers: json })).status, 200);
    assert.equal((await send(url, { path: '/a2a/v1/tasks/t:cancel', body: '' })).status, 200);
    assert.deepEqual(called, ['sendMessage', 'cancelTask']);
  });

  test('refuses names that are not its own', async (t) => {
    const { url, called } = await startCounting(t);
    for (const host of [
      'evil.example',
      'evil.example:8080',
      'localhost.evil.example',
      '127.0.0.1.nip.io',
      '@',
    ]) {
      const { status, text } = await send(url, { headers: { ...json, host } });
      assert.ok(status === 403 || status === 400, `${host}: ${status}`);
      if (host.startsWith('evil')) assert.match(text, /Host must name localhost or .*AUTH_MODES is none/);
    }
    for (const path of ['/.well-known/agent-card.json', '/health/live', '/nothing', '/a2a/v1/tasks/t']) {
      const headers = { host: 'evil.example' };
      assert.equal((await send(url, { path, headers, body: undefined })).status, 403, path);
    }
    assert.deepEqual(called, []);
    for (const host of ['LOCALHOST:8080', '127.0.0.1', '[::1]:1', 'agent.example']) {
      assert.equal((await send(url, { headers: { ...json, host } })).status, 200, host);
    }
  });

  test('refuses foreign origins and requests from other sites', async (t) => {
    const { url, called } = await startCounting(t, { corsOrigins: ['https://app.example'] });
    const host = 'localhost:8080';
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'http://localhost:3000' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { origin: 'http://localhost:8080.evil.example', 'sec-fetch-site': 'cross-site' },
    ]) {
      assert.equal((await send(url, { headers: { ...json, host, ...headers } })).status, 403);
    }
    assert.deepEqual(called, []);
    for (const headers of [
      { origin: 'http://localhost:8080', 'sec-fetch-site': 'same-origin' },
      { origin: 'https://app.example', 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'none' },
    ]) {
      assert.equal((await send(url, { headers: { ...json, host, ...headers } })).status, 200);
    }
  });

  test('answers its own webhooks with 410 under every name, except at callbacks', async (t) => {
    const { url, called } = await startCounting(t);
    const headers = { ...json, 'longhaul-task-id': 't', host: 'localhost' };
    for (const path of [
      '/a2a/jsonrpc',
      '/a2a/v1/tasks/t/webhooks/w/test',
      '/health/live',
      '/files/t/h',
      '/none',
    ]) {
      const { status, text } = await send(url, { path, headers });
      assert.equal(status, 410, path);
      assert.match(text, /cannot be sent to the service itself/, path);
    }
    assert.notEqual((await send(url, { path: '/callbacks/token', headers })).status, 410);
    assert.deepEqual(called, []);
  });

  test('applies only without authentication on this machine', () => {
    const env = {
      DATABASE_URL: 'postgres://localhost/none',
      GOOGLE_CLOUD_PROJECT: 'p',
      DISPATCHER_URL: 'http://localhost:1',
      ENCRYPTION_KEYS: `k:${Buffer.alloc(32).toString('base64')}`,
      PUBLIC_URL: 'https://tunnel.example',
    };
    const read = (more: object) => readApiConfig({ ...env, ...more }).localHosts;
    for (const HOST of ['127.0.0.1', 'localhost', '::1', '127.0.0.2']) {
      assert.ok(read({ HOST })?.has('tunnel.example'), HOST);
    }
    assert.equal(read({ HOST: '0.0.0.0' }), undefined);
    const auth = { AUTH_MODES: 'api-key', API_KEYS: `a:${'0'.repeat(64)}` };
    assert.equal(read({ HOST: '127.0.0.1', ...auth }), undefined);
  });

  test(
    'withstands the requests of a browser',
    { skip: browser === undefined && 'no Chromium found' },
    async (t) => {
      const { url, called } = await startCounting(t);
      const port = new URL(url).port;
      const seen = recordAnswers(t, port);
      const local = `http://localhost:${port}`;
      // Each request is one that a browser sends without asking the server first.
      const page = `<body><script>
      const rpc = ${JSON.stringify(JSON.stringify(call))};
      const done = (name) => (result) => (document.title += ' ' + name + '=' + (result.type ?? result.message));
      const post = (name, body, headers) =>
        fetch('${local}/a2a/jsonrpc?' + name, { method: 'POST', mode: 'no-cors', body, headers })
          .then(done(name), done(name));
      navigator.sendBeacon('${local}/a2a/jsonrpc?beacon', new Blob([rpc]));
      document.write('<iframe name=f></iframe><img src="${local}/a2a/v1/tasks/t">');
      document.write('<iframe src="http://rebind.example:${port}/a2a/v1/tasks/t"></iframe>');
      document.write('<form target=f method=post enctype="text/plain" action="${local}/a2a/jsonrpc?form"><input name="{"></form>');
      document.forms[0].submit();
      const all = Promise.all([post('blob', new Blob([rpc])), post('text', rpc),
        post('json', rpc, { 'content-type': 'application/json' })]);
      fetch('${local}/a2a/v1/tasks/t').then(done('read'), done('read'));
      // The page counts as loaded when this is.
      document.write('<img src="/wait">');
    </script></body>`;
      const evil = createServer((incoming, response) => {
        if (incoming.url === '/wait')
          void waitFor('requests', () => seen.length >= 8).finally(() => response.end());
        else response.setHeader('content-type', 'text/html').end(incoming.url === '/' ? page : '');
      });
      const evilPort = new URL(await listen(t, evil)).port;
      await openPage(browser ?? '', `http://evil.example:${evilPort}/`);
      assert.deepEqual(new Set(seen.map(({ status }) => status)), new Set([403]), JSON.stringify(seen));
      assert.deepEqual(called, []);
      assert.equal((await postJsonRpc(url, 'SendMessage', { message })).status, 200);
    },
  );
});

interface Answer {
  path: string | undefined;
  status: number;
}

/** Records what the server at a port answers. */
function recordAnswers(t: TestContext, port: string): Answer[] {
  const answers: Answer[] = [];
  const onFinish = (data: unknown): void => {
    const { request: sent, response } = data as { request: IncomingMessage; response: ServerResponse };
    if (String(sent.socket.localPort) !== port) return;
    answers.push({ path: sent.url, status: response.statusCode });
  };
  diagnostics.subscribe('http.server.response.finish', onFinish);
  t.after(() => diagnostics.unsubscribe('http.server.response.finish', onFinish));
  return answers;
}
