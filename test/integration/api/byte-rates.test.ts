/** The limit on the bytes per second that a caller sends and gets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import type { StreamResponse, Task } from '@a2a-js/sdk';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { nextStep } from '#services/api/handler/call-state.ts';
import { ByteRates } from '#shared/runtime/byte-rates.ts';
import { LargeWork } from '#shared/runtime/large-work.ts';
import { createWireTask, startApiServer } from '../../support/services/api-server.ts';
import { postJsonRpc } from '../../support/clients/json-rpc.ts';

describe('the bytes of a caller', () => {
  test('are charged to it alone, and come back with time', () => {
    let now = 0;
    const rates = new ByteRates(10_000, () => now);
    rates.charge('a', 100_000);
    assert.equal(rates.check('a'), 2);
    assert.equal(rates.check('b'), 0);
    now = 2_001;
    assert.equal(rates.check('a'), 0);
    rates.charge('a', 4_095);
    assert.equal(rates.check('a'), 0, 'small requests are not charged');
  });

  test('never exceed eight seconds of the rate at once', () => {
    let now = 0;
    const rates = new ByteRates(10_000, () => now);
    rates.charge('a', 4_096);
    now = 3_600_000;
    rates.charge('a', 80_000);
    assert.equal(rates.check('a'), 1);
  });

  test('include its answers', async (t) => {
    const task = { ...createWireTask('t'), metadata: { text: 'é'.repeat(50_000) } };
    const { url } = await startApiServer(t, { getTask: async () => task }, { bytesPerSecond: 20_000 });
    const get = () => postJsonRpc(url, 'GetTask', { id: 't' });
    assert.deepEqual([(await get()).status, (await get()).status], [200, 200]);
    const refused = await get();
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
  });

  test('include its streams', async (t) => {
    const text = 'é'.repeat(50_000);
    async function* sendMessageStream(): AsyncGenerator<StreamResponse, void, undefined> {
      for (const id of ['a', 'b']) {
        yield { payload: { $case: 'task', value: { ...createWireTask(id), metadata: { text } } } };
      }
    }
    const { url } = await startApiServer(t, { sendMessageStream }, { bytesPerSecond: 20_000 });
    const message = { messageId: 'm', role: 'ROLE_USER', parts: [{ text: 'hello' }] };
    const stream = () => postJsonRpc(url, 'SendStreamingMessage', { message });
    const answer = await stream();
    assert.ok((await answer.text()).length > 100_000);
    assert.equal((await stream()).status, 429);
  });

  test('include its requests, which are refused before their body is read', async (t) => {
    const { bindings, url } = await startApiServer(
      t,
      {},
      { bytesPerSecond: 5_000, bodyLimitBytes: 1_000_000 },
    );
    const message = { messageId: 'm', role: 'ROLE_USER', parts: [{ text: 'x'.repeat(50_000) }] };
    const send = () => postJsonRpc(url, 'SendMessage', { message });
    assert.notEqual((await send()).status, 429);
    assert.equal((await send()).status, 429);
    for (const binding of bindings) {
      const { error } = await binding.call('GetTask', { id: 't' });
      assert.match(JSON.stringify(error), /Too many bytes|RESOURCE_EXHAUSTED|429/, binding.name);
    }
  });
});

test('a large body of a refused caller is left unread', async (t) => {
  const { bindings, url } = await startApiServer(
    t,
    { getTask: async () => createWireTask('t') },
    { bytesPerSecond: 5_000, bodyLimitBytes: 100_000_000 },
  );
  const length = 64 * 1024 * 1024;
  // The first request has spent the bytes of its caller.
  await postJsonRpc(url, 'SendMessage', { message: { text: 'x'.repeat(50_000) } });
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  t.after(() => socket.destroy());
  const closed = new Promise((resolve) => socket.on('error', () => undefined).once('close', resolve));
  const answered = once(socket, 'data');
  socket.write(
    `POST /a2a/jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`,
  );
  const chunk = Buffer.alloc(1024 * 1024, 'x');
  let written = 0;
  for (let sent = 0; sent < length; sent += chunk.length) {
    socket.write(chunk, (error) => {
      if (!error) written += chunk.length;
    });
  }
  const [answer] = (await answered) as [Buffer];
  assert.match(answer.toString('latin1'), /^HTTP\/1\.1 429 /);
  await closed;
  assert.ok(written < length / 4, `buffers took ${written} bytes`);
  for (const binding of bindings) binding.close();
});

test('a large body waits for its turn before it is parsed, a small one does not', async (t) => {
  const waited: string[] = [];
  class RecordedWork extends LargeWork {
    override start(name: string): Promise<void> {
      waited.push(name);
      return super.start(name);
    }
  }
  const { bindings, url } = await startApiServer(
    t,
    { getTask: async () => createWireTask('t') },
    { largeWork: new RecordedWork(), bodyLimitBytes: 1_000_000 },
  );
  assert.equal((await postJsonRpc(url, 'GetTask', { id: 't' })).status, 200);
  assert.deepEqual(waited, []);
  const text = 'x'.repeat(70_000);
  const message = { messageId: 'm', role: 'ROLE_USER', parts: [{ text }] };
  await postJsonRpc(url, 'SendMessage', { message });
  // To be read, to be parsed, and to be checked.
  assert.deepEqual(waited, Array(3).fill('address 127.0.0.1'));
  // Its first bytes show that it may not be large.
  const refused = await postJsonRpc(url, 'GetTask', { id: 't', text });
  assert.match(await refused.text(), /"code":-32600,"message":"The body is larger than 65536 bytes/);
  assert.equal(waited.length, 3);
  for (const binding of bindings) binding.close();
});

test('a large answer waits for its turn before each step', async (t) => {
  let steps = 0;
  const getTask = async (_request: unknown, context: ServerCallContext): Promise<Task> => {
    nextStep.set(context, async () => void (steps += 1));
    return createWireTask('t');
  };
  const { bindings } = await startApiServer(t, { getTask });
  const counts: [string, number][] = [];
  for (const binding of bindings) {
    steps = 0;
    const { error } = await binding.call('GetTask', { id: 't' });
    assert.equal(error, undefined);
    counts.push([binding.name, steps]);
  }
  // Conversion and JSON; gRPC writes what it is given at once.
  assert.deepEqual(
    counts.map(([, count]) => count),
    [2, 2, 1],
  );
});
