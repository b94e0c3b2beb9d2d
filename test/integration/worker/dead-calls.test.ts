/** Calls on silently dead connections, and on those of a server that only works for long. */
import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import { describe, test, type TestContext } from 'node:test';
import { Agent, fetch } from 'undici';
import { createConnector, resolveLocally } from '#shared/net/connector.ts';
import { endDeadCalls } from '#services/worker/agent/dead-calls.ts';
import { listen } from '../../support/network/listen.ts';
import { startSilentProxy } from '../../support/network/silent-proxy.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Starts a server that answers only HEAD, behind a proxy. */
async function startServer(t: TestContext) {
  const open: ServerResponse[] = [];
  let asked = 0;
  const server = createServer((request, response) => {
    if (request.method === 'POST') {
      open.push(response);
    } else {
      asked += 1;
      response.writeHead(404).end();
    }
  });
  const url = new URL(await listen(t, server));
  const proxy = await startSilentProxy(t, { host: url.hostname, port: Number(url.port) });
  const connect = createConnector({ resolve: resolveLocally, timeoutMs: 1_000 });
  const dispatcher = new Agent().compose(endDeadCalls({ connect, silenceMs: 30, probeMs: 40 }));
  t.after(() => dispatcher.destroy());
  const call = () => fetch(`http://127.0.0.1:${proxy.port}/call`, { method: 'POST', body: 'x', dispatcher });
  return { open, proxy, call, asked: () => asked };
}

const isDead = { name: 'TypeError', message: 'fetch failed', cause: { code: 'UND_ERR_SOCKET' } };

describe('a silent call', () => {
  test('continues while its server answers others', async (t) => {
    const { open, call, asked } = await startServer(t);
    const calling = call();
    await waitFor('several questions', () => asked() >= 4);
    open[0]!.end('done');
    assert.equal(await (await calling).text(), 'done');
  });

  test('fails when its server is back, and so does one that was made meanwhile', async (t) => {
    const { open, proxy, call } = await startServer(t);
    const before = assert.rejects(call(), (error: Error) => {
      assert.deepEqual({ ...isDead, cause: { code: (error.cause as { code: string }).code } }, isDead);
      return error.message === 'fetch failed';
    });
    await waitFor('the call', () => open.length === 1);
    proxy.silence();
    proxy.setMute(true);
    await waitFor('questions without an answer', () => proxy.muted >= 3);
    const meanwhile = assert.rejects(call(), /fetch failed/);
    await waitFor('another call', () => proxy.muted >= 5);
    proxy.setMute(false);
    await Promise.all([before, meanwhile]);
  });

  test('continues while its server works on one call at a time', async (t) => {
    let asked = 0;
    const queue: ServerResponse[] = [];
    const server = createServer((request, response) => {
      if (request.method === 'HEAD') asked += 1;
      queue.push(response);
    });
    const url = await listen(t, server);
    const connect = createConnector({ resolve: resolveLocally, timeoutMs: 1_000 });
    const dispatcher = new Agent().compose(endDeadCalls({ connect, silenceMs: 20, probeMs: 20 }));
    t.after(() => dispatcher.destroy());
    const call = () => fetch(url, { method: 'POST', body: 'x', dispatcher }).then((answer) => answer.text());
    const calls = [call(), call()];
    await waitFor('both calls, and questions', () => queue.length > 2 && asked >= 4);
    const [first, second, ...questions] = queue.splice(0);
    first!.end('first');
    assert.equal(await Promise.race(calls), 'first');
    for (const question of questions) question.end();
    await waitFor('a question', () => queue.length > 0);
    queue.shift()!.end();
    const answered = asked;
    await waitFor('a later question', () => asked > answered);
    second!.end('second');
    assert.deepEqual((await Promise.all(calls)).toSorted(), ['first', 'second']);
  });
});
