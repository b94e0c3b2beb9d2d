/** Bounds of HTTP connections, with clients that send half and read nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import { listen as listenOn } from '#shared/runtime/listen.ts';
import { createServer } from '#shared/runtime/server.ts';
import { limitConnections } from '#services/api/limits/connections.ts';
import { closeSlowReaders } from '#services/api/limits/slow-readers.ts';
import { startApiServer } from '../../support/services/api-server.ts';
import type { Cleanup } from '../../support/cleanup.ts';
import { waitFor } from '../../support/wait-for.ts';

function connect(t: Cleanup, url: string): Socket {
  const socket = createConnection(Number(new URL(url).port), '127.0.0.1');
  t.after(() => socket.destroy());
  return socket.on('error', () => undefined);
}

/** Resolves when a connection is closed, even if a write fails before. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

async function listen(t: Cleanup, app: FastifyInstance): Promise<string> {
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => app.close());
  return url;
}

describe('HTTP connections', () => {
  test('have a deadline for their headers, even if they send nothing', async (t) => {
    const defaults = createServer();
    assert.ok(defaults.server.headersTimeout <= 15_000 && defaults.server.requestTimeout <= 25_000);
    const http = { headersTimeout: 300, connectionsCheckingInterval: 100 };
    const app = createServer({ http } as Parameters<typeof createServer>[0]);
    const url = await listen(t, app);
    const silent = connect(t, url).resume();
    const slow = connect(t, url).resume();
    slow.write('GET / HTTP/1.1\r\nhost: a\r\n');
    const drip = setInterval(() => slow.writable && slow.write('a'), 50);
    t.after(() => clearInterval(drip));
    await Promise.all([closed(silent), closed(slow)]);
  });

  test('have a deadline for their bodies, even if these keep arriving', async (t) => {
    const http = { headersTimeout: 300, connectionsCheckingInterval: 100 };
    const app = createServer({ http, requestTimeout: 400 } as Parameters<typeof createServer>[0]);
    app.post('/', () => '');
    const url = await listen(t, app);
    const sockets = Array.from({ length: 50 }, () => connect(t, url).resume());
    for (const socket of sockets) {
      socket.write('POST / HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\n');
    }
    const drip = setInterval(() => {
      for (const socket of sockets) if (socket.writable) socket.write('a');
    }, 50);
    t.after(() => clearInterval(drip));
    await Promise.all(sockets.map(closed));
  });

  test('are closed if their client does not take a response', async (t) => {
    const app = createServer();
    closeSlowReaders(app, 200, 50);
    app.get('/', () => 'x'.repeat(50_000_000));
    const url = await listen(t, app);
    const socket = connect(t, url);
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    const count = () =>
      new Promise<number>((resolve) => app.server.getConnections((_error, open) => resolve(open)));
    await waitFor('the connection', async () => (await count()) === 1);
    await waitFor('its end', async () => (await count()) === 0);
  });

  test('stay open if their client pauses for less than the bound', async (t) => {
    // The process has run for longer than the bound.
    const now = performance.now.bind(performance);
    t.mock.method(performance, 'now', () => now() + 1_000_000);
    const app = createServer();
    closeSlowReaders(app, 60_000, 20);
    const size = 20_000_000;
    app.get('/', () => 'x'.repeat(size));
    const socket = connect(t, await listen(t, app));
    let received = 0;
    socket.on('data', (chunk: Buffer) => (received += chunk.length)).pause();
    socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    // Several checks find that it has taken nothing.
    await new Promise((resolve) => setTimeout(resolve, 300));
    socket.resume();
    await waitFor('the whole response', async () => received > size);
  });

  test('stay open while they wait for a response, or after it', async (t) => {
    const app = createServer();
    closeSlowReaders(app, 50, 10);
    app.get('/', async () => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      return 'done';
    });
    const url = await listen(t, app);
    const socket = connect(t, url);
    for (let i = 0; i < 2; i += 1) {
      socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      assert.match(String(chunk), /done$/);
    }
  });

  test('are limited per address', async (t) => {
    const { url } = await startApiServer(t, {}, { connections: { all: 100, perAddress: 2 } });
    const open = [connect(t, url), connect(t, url)];
    await Promise.all(open.map((socket) => once(socket, 'connect')));
    await once(connect(t, url).resume(), 'close');
    assert.ok(open.every((socket) => !socket.destroyed));
    open[0]?.destroy();
    await waitFor('a closed connection to free its place', async () => {
      const socket = connect(t, url);
      socket.write('GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n');
      const event = await Promise.race([
        once(socket, 'data').then(() => 'data'),
        once(socket, 'close').then(() => 'close'),
      ]);
      return event === 'data';
    });
  });
});

describe('a port', { skip: process.platform !== 'linux' }, () => {
  test('accepts many connections in few iterations of the event loop', async (t) => {
    const count = 200;
    const { app, url } = await share(t);
    let accepted = 0;
    const all = new Promise<void>((resolve) =>
      app.server.on('connection', () => {
        accepted += 1;
        if (accepted === count) resolve();
      }),
    );
    const { loopCount } = performance.nodeTiming.uvMetricsInfo;
    for (let i = 0; i < count; i += 1) connect(t, url);
    await all;
    const iterations = performance.nodeTiming.uvMetricsInfo.loopCount - loopCount;
    assert.ok(iterations < count / 4, `${iterations} iterations`);
    const socket = connect(t, url);
    socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    assert.match(String((await once(socket, 'data'))[0]), /answer$/);
  });

  test('is not shared with another process', async (t) => {
    const { url } = await share(t);
    const port = Number(new URL(url).port);
    const other = createServer();
    t.after(() => other.close());
    await assert.rejects(listenOn(other, { host: '127.0.0.1', port }), { code: 'EADDRINUSE' });
  });

  test('counts the connections of all its sockets together', async (t) => {
    const { app, url } = await share(t);
    limitConnections(app.server, { all: 5, perAddress: 0 });
    const open = Array.from({ length: 20 }, () => connect(t, url).resume());
    await waitFor('15 to be closed', async () => open.filter(({ closed }) => closed).length === 15);
  });

  test('is free when its server has closed, with connections of all its sockets', async (t) => {
    const { app, url } = await share(t);
    const open = Array.from({ length: 20 }, () => connect(t, url).resume());
    await Promise.all(open.map((socket) => once(socket, 'connect')));
    await app.close();
    await waitFor('the connections to be closed', async () => open.every(({ closed }) => closed));
    const next = createServer();
    t.after(() => next.close());
    await listenOn(next, { host: '127.0.0.1', port: Number(new URL(url).port) });
  });
});

async function share(t: Cleanup): Promise<{ app: FastifyInstance; url: string }> {
  const app = createServer();
  app.get('/', () => 'answer');
  t.after(() => app.close());
  return { app, url: await listenOn(app, { host: '127.0.0.1', port: 0 }) };
}

describe('HTTP bodies that are received', () => {
  const all = { requests: 100, bytes: 1e9 };

  test('are limited in bytes, before they are read', async (t) => {
    const receiving = { all, perCaller: { ...all, bytes: 25_000 } };
    const { url } = await startApiServer(t, {}, { receiving });
    const head = 'POST /a2a/jsonrpc HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n';
    const first = connect(t, url);
    first.write(`${head}content-length: 15000\r\n\r\n{`);
    const post = async (): Promise<number> => {
      const headers = { 'content-type': 'application/json' };
      const body = `${' '.repeat(14_000)}{}`;
      const response = await fetch(`${url}/a2a/jsonrpc`, { method: 'POST', headers, body });
      await response.text();
      return response.status;
    };
    await waitFor('the first body to be counted', async () => (await post()) === 429);
    first.destroy();
    await waitFor('a closed request to free its bytes', async () => (await post()) === 200);
  });

  test('are not counted while they are dropped', async (t) => {
    const receiving = { all, perCaller: { ...all, bytes: 200_000 } };
    const { url } = await startApiServer(t, {}, { receiving });
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let i = 0; i < 100; i += 1) controller.enqueue(new Uint8Array(10_000).fill(32));
        controller.close();
      },
    });
    const response = await fetch(`${url}/a2a/jsonrpc`, { method: 'POST', body, duplex: 'half' });
    assert.equal(response.status, 413);
  });

  test('are limited in number', async (t) => {
    const receiving = { all, perCaller: { ...all, requests: 1 } };
    const { url } = await startApiServer(t, {}, { receiving });
    const first = connect(t, url);
    first.write('POST /a2a/jsonrpc HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n');
    const post = async (): Promise<number> => {
      const response = await fetch(`${url}/a2a/jsonrpc`, { method: 'POST', body: '{}' });
      await response.text();
      return response.status;
    };
    await waitFor('the first body to be counted', async () => (await post()) === 429);
    assert.equal((await fetch(`${url}/a2a/v1/tasks/x`)).status === 429, false, 'a request without a body');
  });
});
