/** gRPC connections: when they are closed, how many there may be, and how many calls one carries. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test } from 'node:test';
import { A2AService } from '@a2a-js/sdk/server/grpc';
import {
  credentials,
  makeGenericClientConstructor,
  Metadata,
  status,
  type ServiceError,
} from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import { createKeyEntry } from '../../support/services/api-keys.ts';
import { createWireTask, startApiServer } from '../../support/services/api-server.ts';
import { connectGrpc, startCall } from '../../support/clients/raw-grpc.ts';
import { waitFor } from '../../support/wait-for.ts';

const auth: AuthConfig = {
  apiKeys: [createKeyEntry('alice', 'alice')],
  jwt: undefined,
  cloudRunIam: undefined,
  operators: [],
};
const alice = { 'x-api-key': 'alice' };

describe('gRPC connections', () => {
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  /** The start of a HEADERS frame with 4,096 bytes (RFC 9113, section 4.1). */
  const headers = Buffer.from([0, 0x10, 0, 1, 4, 0, 0, 0, 1]);
  for (const [what, sent] of Object.entries({
    nothing: [],
    'a preface byte by byte': [...preface].map((byte) => Buffer.of(byte)),
    'headers byte by byte': [
      Buffer.concat([preface, settings, headers]),
      ...Array<Buffer>(100).fill(Buffer.of(0)),
    ],
  })) {
    test(`are closed without a call: ${what}`, async (t) => {
      const { grpcTarget } = await startApiServer(t, {}, { timeouts: { callMs: 300 } });
      const [host = '', port] = grpcTarget.split(':');
      const socket = createConnection(Number(port), host).resume();
      t.after(() => socket.destroy());
      socket.on('error', () => undefined);
      const drip = setInterval(() => socket.writable && socket.write(sent.shift() ?? ''), 20);
      t.after(() => clearInterval(drip));
      await new Promise((resolve) => socket.once('close', resolve));
    });
  }

  test('stay open without a call in progress once they had one', async (t) => {
    const { grpcTarget } = await startApiServer(t, {}, { auth, timeouts: { callMs: 100 } });
    const session = connectGrpc(t, grpcTarget);
    await startCall(session, 'GetTask').closed;
    await sleep(200);
    assert.equal((await startCall(session, 'GetTask').closed).status, status.UNAUTHENTICATED);
  });

  test('are limited per address', async (t) => {
    const { grpcTarget } = await startApiServer(t, {}, { connections: { all: 100, perAddress: 2 } });
    const [host = '', port] = grpcTarget.split(':');
    const connect = () => {
      const socket = createConnection(Number(port), host);
      t.after(() => socket.destroy());
      socket.resume();
      return socket.on('error', () => undefined);
    };
    const [first] = await Promise.all(
      [connect(), connect()].map(async (socket) => {
        await once(socket, 'connect');
        return socket;
      }),
    );
    await once(connect(), 'close');
    first?.destroy();
    await waitFor('a closed connection to free its place', async () => {
      const socket = connect();
      // HTTP/2 servers start with their settings.
      const [event] = await Promise.race([once(socket, 'data').then(() => ['data']), once(socket, 'close')]);
      return event === 'data';
    });
  });

  test('may have a hundred watches of the health of the service', async (t) => {
    const { grpcTarget } = await startApiServer(t, {});
    const Client = makeGenericClientConstructor(healthService, '');
    const client = new Client(grpcTarget, credentials.createInsecure());
    t.after(() => client.close());
    // oxlint-disable-next-line typescript/no-explicit-any -- a generic client has no types
    const watch = (): any => (client as any).watch({ service: '' });
    const open = Array.from({ length: 100 }, watch);
    await Promise.all(open.map((call) => once(call, 'data')));
    const code = await new Promise((resolve) =>
      watch().on('error', (error: ServiceError) => resolve(error.code)),
    );
    assert.equal(code, status.RESOURCE_EXHAUSTED);
    for (const call of open) call.on('error', () => undefined).cancel();
  });

  test('are cut off when the server closes, after a time for their calls', async (t) => {
    const reached = Promise.withResolvers<void>();
    const getTask = (): Promise<never> => {
      reached.resolve();
      return new Promise(() => undefined);
    };
    const { grpcTarget, closeGrpc } = await startApiServer(
      t,
      { getTask },
      { auth, timeouts: { closeMs: 100 } },
    );
    const { stream, closed } = startCall(connectGrpc(t, grpcTarget), 'GetTask', alice);
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
    await reached.promise;
    await closeGrpc();
    assert.equal((await closed).status, undefined);
  });

  test('carry many calls of one caller at once', async (t) => {
    const { grpcTarget } = await startApiServer(
      t,
      { getTask: async ({ id }) => createWireTask(id) },
      { auth },
    );
    const Client = makeGenericClientConstructor(A2AService, '');
    const client = new Client(grpcTarget, credentials.createInsecure());
    t.after(() => client.close());
    const metadata = new Metadata();
    for (const [name, value] of Object.entries({ 'a2a-version': '1.0', ...alice })) metadata.set(name, value);
    await Promise.all(
      Array.from({ length: 900 }, (_, i) => {
        // oxlint-disable-next-line typescript/no-explicit-any -- a generic client has no types
        const { getTask } = client as any;
        return new Promise<void>((resolve, reject) =>
          getTask.call(client, { tenant: '', id: `t${i}` }, metadata, (error: Error | null) =>
            error === null ? resolve() : reject(error),
          ),
        );
      }),
    );
  });
});
