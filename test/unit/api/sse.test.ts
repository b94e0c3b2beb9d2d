/** Server-sent events: ids, keep-alive comments, and the end of a stream. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { fastify } from 'fastify';
import { sendStream } from '#services/api/http/sse.ts';

describe('server-sent events', () => {
  test('numbers events, escapes line breaks, sends comments, and closes at the end', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const last = Promise.withResolvers<string>();
    async function* payloads() {
      yield 'first';
      yield await last.promise;
    }
    let id = 0;
    const app = fastify();
    app.get('/', (_request, reply) =>
      sendStream(reply, payloads(), {
        id: () => (id += 1),
        event: (payload) => payload,
        error: String,
        onStart: () => undefined,
      }),
    );
    t.after(() => app.close());
    const response = await fetch(await app.listen({ host: '127.0.0.1', port: 0 }));
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    const read = async () => (await reader.read()).value;

    assert.equal(await read(), 'id: 1\ndata: "first"\n\n');
    for (let round = 0; round < 2; round++) {
      t.mock.timers.tick(15_000);
      assert.equal(await read(), ': keep-alive\n\n');
    }
    last.resolve('last\u2028line\u2029of\u0085all');
    assert.equal(await read(), 'id: 2\ndata: "last\\u2028line\\u2029of\\u0085all"\n\n');
    assert.equal((await reader.read()).done, true);
  });

  test('ends a stream whose client has left before the first event', async (t) => {
    const first = Promise.withResolvers<string>();
    const ended = Promise.withResolvers<void>();
    let read = false;
    async function* payloads() {
      try {
        yield await first.promise;
        read = true;
        yield 'second';
      } finally {
        ended.resolve();
      }
    }
    const asked = Promise.withResolvers<Socket>();
    const app = fastify();
    app.get('/', ({ raw }, reply) => {
      asked.resolve(raw.socket);
      return sendStream(reply, payloads(), {
        id: () => undefined,
        event: (payload) => payload,
        error: String,
        onStart: () => undefined,
      });
    });
    t.after(() => app.close());
    const leave = new AbortController();
    const answer = fetch(await app.listen({ host: '127.0.0.1', port: 0 }), { signal: leave.signal });
    const socket = await asked.promise;
    const closed = new Promise((resolve) => socket.once('close', resolve));
    leave.abort();
    await assert.rejects(answer);
    await closed;
    first.resolve('first');
    await ended.promise;
    assert.equal(read, false);
  });
});
