/** Admission of HTTP requests whose client leaves. */
import assert from 'node:assert/strict';
import { createConnection, type AddressInfo, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { fastify } from 'fastify';
import { LargeWork } from '#shared/runtime/large-work.ts';
import { registerAdmission } from '#services/api/limits/admission.ts';
import { Receiving } from '#services/api/limits/receiving.ts';

describe('a request that waits for its admission', () => {
  for (const [what, body] of [
    ['part of its body', 'ab'],
    ['its whole body', 'abcd'],
  ] as const) {
    test(`does not count as being received once its client has left with ${what} sent`, async (t) => {
      const asked = Promise.withResolvers<Socket>();
      const decided = Promise.withResolvers<void>();
      const receiving = new Receiving({
        all: { requests: 1, bytes: 1000 },
        perCaller: { requests: 1, bytes: 1000 },
      });
      const opened = t.mock.method(receiving, 'open');
      const app = fastify();
      app.addHook('onRequest', ({ raw }, _reply, done) => {
        asked.resolve(raw.socket);
        done();
      });
      const admitted = Promise.withResolvers<void>();
      registerAdmission(
        app,
        async () => {
          await decided.promise;
          setImmediate(() => admitted.resolve());
          return { isAuthenticated: true, userName: 'alice' } as never;
        },
        receiving,
        undefined,
        new LargeWork(),
      );
      app.post('/', async () => 'done');
      await app.listen({ host: '127.0.0.1', port: 0 });
      t.after(() => app.close());
      const { port } = app.server.address() as AddressInfo;
      const client = createConnection(port, '127.0.0.1');
      client.write(
        `POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\n${body}`,
      );
      const socket = await asked.promise;
      const closed = new Promise((resolve) => socket.once('close', resolve));
      client.resetAndDestroy();
      await closed;
      decided.resolve();
      await admitted.promise;
      assert.equal(opened.mock.callCount(), 0);
      const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'text' });
      assert.equal(await answer.text(), 'done');
      assert.equal(opened.mock.callCount(), 1);
    });
  }
});
