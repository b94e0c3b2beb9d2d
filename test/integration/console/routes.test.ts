/** How the front door serves the files of the console, and what the real ones weigh. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { brotliCompressSync } from 'node:zlib';
import { buildConsole } from '../../../console/build.ts';
import { startApiServer } from '../../support/services/api-server.ts';

const files = {
  html: '<script src="{{base}}/console/assets/main-1.js"></script>',
  assets: new Map([['main-1.js', Buffer.from('console.log(1);')]]),
};
const readConsole = () => Promise.resolve(files);
const auth = { apiKeys: [], jwt: undefined, cloudRunIam: undefined, operators: [] };

describe('the routes of the console', () => {
  test('need no credentials, for the page of any path below it', async (t) => {
    const { url } = await startApiServer(t, {}, { readConsole, auth });
    for (const path of ['/console', '/console/', '/console/tasks/one?x=1']) {
      const response = await fetch(url + path);
      assert.equal(response.status, 200, path);
      assert.equal(await response.text(), '<script src="/console/assets/main-1.js"></script>');
    }
    assert.equal((await fetch(`${url}/a2a/v1/tasks`)).status, 401);
  });

  test('forbid inline code, other hosts, frames, and HTML that was not sanitised', async (t) => {
    const { url } = await startApiServer(t, {}, { readConsole });
    const { headers } = await fetch(`${url}/console/`);
    const policy = new Map(
      (headers.get('content-security-policy') ?? '').split('; ').map((directive) => {
        const [name = '', ...values] = directive.split(' ');
        return [name, values.join(' ')];
      }),
    );
    assert.deepEqual(Object.fromEntries(policy), {
      'default-src': "'none'",
      'script-src': "'self'",
      'style-src': "'self'",
      'img-src': "'self' blob:",
      'connect-src': "'self'",
      'base-uri': "'none'",
      'form-action': "'none'",
      'frame-ancestors': "'none'",
      'require-trusted-types-for': "'script'",
      'trusted-types': 'dompurify',
    });
    assert.equal(headers.get('set-cookie'), null);
  });

  test('keep scripts for ever and revalidate the page', async (t) => {
    const { url } = await startApiServer(t, {}, { readConsole });
    const script = await fetch(`${url}/console/assets/main-1.js`);
    assert.equal(script.headers.get('cache-control'), 'public, max-age=31536000, immutable');
    assert.equal(script.headers.get('content-type'), 'text/javascript; charset=utf-8');
    const page = await fetch(`${url}/console/`);
    const etag = page.headers.get('etag') ?? '';
    assert.equal(page.headers.get('cache-control'), 'no-cache');
    const again = await fetch(`${url}/console/`, { headers: { 'if-none-match': etag } });
    assert.equal(again.status, 304);
    assert.equal((await fetch(`${url}/console/assets/main-2.js`)).status, 404);
  });

  test('answer 404 for files that they do not have', async (t) => {
    const { url } = await startApiServer(t, {}, { readConsole });
    for (const path of ['/console/nope.js', '/console/a/b.css?x=1', '/console/favicon.ICO']) {
      const response = await fetch(url + path);
      assert.deepEqual([path, response.status], [path, 404]);
      assert.match(await response.text(), /is not a file of the console/);
    }
    assert.equal((await fetch(`${url}/console/tasks/v1.2`)).status, 200);
  });

  test('compress, and name the path of the public URL', async (t) => {
    const { url } = await startApiServer(t, {}, { readConsole, publicUrl: 'https://example.com/agent' });
    const page = await fetch(`${url}/agent/console/`, { headers: { 'accept-encoding': 'gzip, br' } });
    assert.equal(page.headers.get('content-encoding'), 'br');
    assert.match(await page.text(), /src="\/agent\/console\/assets\/main-1\.js"/);
  });

  test('contain the address of traces as text', async (t) => {
    const traceUrl = 'https://traces.example/?q="{taskId}"&a=<$&>';
    const html = '<meta content="{{traceUrl}}" />';
    const { url } = await startApiServer(t, {}, { readConsole: async () => ({ ...files, html }), traceUrl });
    const page = await (await fetch(`${url}/console/`)).text();
    assert.equal(page, '<meta content="https://traces.example/?q=&quot;{taskId}&quot;&amp;a=&lt;$&amp;>" />');
  });

  test('are where the root leads browsers, and no other client', async (t) => {
    const { url } = await startApiServer(
      t,
      {},
      { readConsole, auth, publicUrl: 'https://example.com/agent' },
    );
    const ask = (accept: string) => fetch(`${url}/agent/`, { redirect: 'manual', headers: { accept } });
    const browser = await ask('text/html,application/xhtml+xml,*/*;q=0.8');
    assert.deepEqual([browser.status, browser.headers.get('location')], [302, '/agent/console/']);
    assert.equal(browser.headers.get('vary'), 'accept');
    const client = await ask('*/*');
    const card = await fetch(`${url}/agent/.well-known/agent-card.json`);
    assert.deepEqual([client.status, await client.json()], [200, await card.json()]);
  });

  test('share the root with operations, which need credentials', async (t) => {
    const { url } = await startApiServer(t, {}, { readConsole, auth });
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tasks/get', params: { id: 'x' } });
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${url}/`, { method: 'POST', headers, body });
    assert.equal(response.status, 401);
    assert.equal(((await response.json()) as { error: { code: number } }).error.code, -32_000);
  });

  test('exist only if the console is on', async (t) => {
    const { url } = await startApiServer(t, {});
    assert.equal((await fetch(`${url}/console/`)).status, 404);
    const root = await fetch(`${url}/`, { redirect: 'manual', headers: { accept: 'text/html' } });
    assert.equal(root.status, 200);
  });
});

describe('the files of the console', () => {
  test('weigh at most 150 KB over the network, half of it for the first screen', async () => {
    const { html, assets } = await buildConsole();
    const weigh = (name: string) => brotliCompressSync(assets.get(name) ?? '').length;
    const sum = (names: readonly string[]) => names.reduce((total, name) => total + weigh(name), 0);
    assert.ok(sum([...assets.keys()]) < 150_000, `${sum([...assets.keys()])} bytes`);
    const first = [...html.matchAll(/assets\/([\w.-]+)/g)].map(([, name = '']) => name);
    assert.ok(first.length === 3 && sum(first) < 75_000, `${sum(first)} bytes in ${first.join()}`);
  });
});
