/**
 * Attacks by a page of another site, in a real browser. The agent runs on the machine of the browser, once without
 * authentication and once with API keys; every name resolves to this machine, as after DNS rebinding.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { before, describe, test } from 'node:test';
import { chromium, type Browser, type Page } from 'playwright-core';
import { createKeyEntry } from '../support/services/api-keys.ts';
import { createWireTask, startApiServer, type TestApiServerOptions } from '../support/services/api-server.ts';
import { browser as executable } from '../support/clients/browser/browser.ts';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { noBrowser } from '../support/clients/browser/pages.ts';
import { listen } from '../support/network/listen.ts';

const message = { messageId: 'm', role: 'ROLE_USER', parts: [{ text: 'hi' }] };
const call = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'SendMessage', params: { message } });
const auth = { jwt: undefined, cloudRunIam: undefined, operators: [] };
const settings: Readonly<Record<string, TestApiServerOptions>> = {
  'without authentication': { localHosts: new Set(['localhost', '127.0.0.1']) },
  'with API keys': { auth: { ...auth, apiKeys: [createKeyEntry('ada', 'a key')] } },
};

/** Newer browsers ask their user before a page of another network calls this machine. */
const noOtherDefence = ['--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests'];

for (const [setting, options] of Object.entries(settings)) {
  describe(`a page of another site, against an agent ${setting}`, { skip: noBrowser }, () => {
    const cleanup = createSuiteCleanup();
    const called: string[] = [];
    let started: Browser;
    let agentUrl: string;
    let evilUrl: string;
    before(async () => {
      const operation = (name: string) => async () => {
        called.push(name);
        return createWireTask('t');
      };
      const operations = { sendMessage: operation('send'), getTask: operation('get') };
      const files = { html: '<title>the console</title>', assets: new Map<string, Uint8Array>() };
      const readConsole = () => Promise.resolve(files);
      const { url } = await startApiServer(cleanup, operations, { readConsole, ...options });
      agentUrl = url.replace('127.0.0.1', 'localhost');
      const evil = createServer((_request, response) => {
        response.setHeader('content-type', 'text/html').end('<!doctype html><title>evil</title><body>');
      });
      evilUrl = (await listen(cleanup, evil)).replace('127.0.0.1', 'evil.example');
      started = await chromium.launch({
        executablePath: executable ?? '',
        args: ['--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP * 127.0.0.1', ...noOtherDefence],
      });
      cleanup.after(() => started.close());
    });

    async function open(url: string): Promise<Page> {
      const page = await started.newPage();
      page.setDefaultTimeout(30_000);
      await page.goto(url);
      return page;
    }

    /** Runs a script that has the address of the agent as `agent`, and a call as `rpc`. */
    function run(page: Page, script: string): Promise<unknown> {
      const constants = `const agent = ${JSON.stringify(agentUrl)}, rpc = ${JSON.stringify(call)};`;
      return page.evaluate(`(async () => { ${constants} ${script} })()`);
    }

    test('sends no message, and reads no answer', async () => {
      const page = await open(evilUrl);
      const results = await run(
        page,
        `const send = (init, path = '/a2a/jsonrpc') =>
          fetch(agent + path, init).then((response) => response.type, (error) => error.name);
        const post = (init) => send({ method: 'POST', body: rpc, ...init });
        const json = { 'content-type': 'application/json' };
        return Promise.all([
          post({ mode: 'no-cors', body: new Blob([rpc]) }),
          post({ mode: 'no-cors', headers: json }),
          post({ headers: json }),
          post({ headers: { ...json, 'x-api-key': 'a key' } }),
          send({ headers: { 'x-api-key': 'a key' } }, '/a2a/v1/tasks/t'),
          send({ credentials: 'include' }, '/a2a/v1/tasks/t'),
          send({}, '/health/ready'),
          new Promise((resolve) => {
            const events = new EventSource(agent + '/a2a/v1/feed');
            events.onopen = () => resolve('open');
            events.onerror = () => resolve(events.readyState === EventSource.CLOSED ? 'refused' : 'lost');
          }),
        ]);`,
      );
      const refused = Array.from({ length: 5 }, () => 'TypeError');
      assert.deepEqual(results, ['opaque', 'opaque', ...refused, 'refused']);
      assert.deepEqual(called, []);
    });

    test('sends no message by a form', async () => {
      const page = await open(evilUrl);
      await run(
        page,
        `for (const enctype of ['text/plain', 'multipart/form-data', 'application/x-www-form-urlencoded']) {
          document.body.innerHTML = '<iframe name="answer"></iframe><form method="post" target="answer"><input></form>';
          const form = document.forms[0];
          Object.assign(form, { enctype, action: agent + '/a2a/jsonrpc' });
          Object.assign(form[0], { name: rpc.slice(0, -1) + ', "x": "', value: '"}' });
          const answered = new Promise((resolve) => (document.querySelector('iframe').onload = resolve));
          form.submit();
          await answered;
        }`,
      );
      assert.deepEqual(called, []);
    });

    test('does not show the console in a frame', async () => {
      const direct = await open(`${agentUrl}/console/`);
      assert.equal(await direct.title(), 'the console');
      const page = await open(evilUrl);
      await run(
        page,
        `const frame = document.createElement('iframe');
        const loaded = new Promise((resolve) => (frame.onload = resolve));
        frame.src = agent + '/console/';
        document.body.append(frame);
        await loaded;`,
      );
      const [, frame] = page.frames();
      assert.notEqual(await frame?.title(), 'the console');
    });

    test('calls nothing under a name that resolves to this machine', async () => {
      const page = await started.newPage();
      // The page came from another machine before its name was given the address of this one.
      await page.route('**/attack', (route) => route.fulfill({ contentType: 'text/html', body: 'evil' }));
      await page.goto(`${agentUrl.replace('localhost', 'evil.example')}/attack`);
      const statuses = await run(
        page,
        `const headers = { 'content-type': 'application/json', 'a2a-version': '1.0' };
        const sent = await fetch('/a2a/jsonrpc', { method: 'POST', headers, body: rpc });
        const read = await fetch('/a2a/v1/tasks/t', { headers });
        return [sent.status, read.status];`,
      );
      const status = options.localHosts === undefined ? 401 : 403;
      assert.deepEqual(statuses, [status, status]);
      assert.deepEqual(called, []);
    });
  });
}
