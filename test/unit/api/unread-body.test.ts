import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import fastify from 'fastify';
import { boundUnreadBodies } from '#services/api/http/unread-body.ts';

test('refusals before the body leave no listeners on their connection', async (t) => {
  const app = fastify();
  boundUnreadBodies(app);
  app.addHook('onRequest', async (_request, reply) => reply.code(401).send('refused'));
  app.post('/', () => 'accepted');
  const accepted = once(app.server, 'connection');
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as { port: number };
  const client = connect(port, '127.0.0.1');
  t.after(() => {
    client.destroy();
    return app.close();
  });
  const [socket] = (await accepted) as [Socket];
  const refuse = async (): Promise<number> => {
    const answer = once(client, 'data');
    client.write(
      'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n',
    );
    assert.match(String(await answer), /^HTTP\/1\.1 401 /);
    client.write('body');
    return socket.listenerCount('close');
  };
  const first = await refuse();
  for (let count = 0; count < 20; count++) await refuse();
  assert.equal(await refuse(), first);
});
