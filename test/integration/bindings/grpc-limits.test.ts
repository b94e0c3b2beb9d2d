/** Bounds of gRPC calls, with clients that send half and read nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http2';
import { describe, test } from 'node:test';
import type { StreamResponse } from '@a2a-js/sdk';
import { ServerInterceptingCall, status } from '@grpc/grpc-js';
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import { LargeWork } from '#shared/runtime/large-work.ts';
import { getSignal } from '#services/api/handler/call-state.ts';
import { createKeyEntry } from '../../support/services/api-keys.ts';
import { createWireTask, startApiServer } from '../../support/services/api-server.ts';
import {
  connectGrpc,
  encodeLargeSend,
  encodeLargeV03Send,
  startCall,
} from '../../support/clients/raw-grpc.ts';
import { waitFor } from '../../support/wait-for.ts';

const auth: AuthConfig = {
  apiKeys: [createKeyEntry('alice', 'alice')],
  jwt: undefined,
  cloudRunIam: undefined,
  operators: [],
};
const alice = { 'x-api-key': 'alice' };

describe('gRPC calls without credentials', () => {
  test('are refused before their message is sent', async (t) => {
    const { grpcTarget } = await startApiServer(t, {}, { auth, bodyLimitBytes: 16 * 1024 * 1024 });
    const session = connectGrpc(t, grpcTarget);
    const { stream, closed } = startCall(session, 'SendMessage');
    stream.end(encodeLargeSend(1_000_000));
    const { status: code, message } = await closed;
    assert.equal(code, status.UNAUTHENTICATED);
    assert.match(message, /x-api-key/);
    const sent = session.socket.bytesWritten;
    assert.ok(sent < 1_000_000, `${sent} bytes were sent`);
  });

  test('do not stay open', async (t) => {
    const { grpcTarget } = await startApiServer(t, {}, { auth });
    const session = connectGrpc(t, grpcTarget);
    const calls = Array.from({ length: 500 }, () => startCall(session, 'SendMessage'));
    for (const { stream } of calls) stream.write(Buffer.from([0, 0, 0, 1, 0]));
    for (const { closed } of calls) assert.equal((await closed).status, status.UNAUTHENTICATED);
  });

  test('are refused before their method is looked up', async (t) => {
    const { grpcTarget } = await startApiServer(t, {}, { auth });
    const session = connectGrpc(t, grpcTarget);
    for (const unknown of ['/lf.a2a.v1.A2AService/Unknown', '/other/grpc.health.v1.Health/Check']) {
      assert.equal((await startCall(session, unknown).closed).status, status.UNAUTHENTICATED);
      assert.equal((await startCall(session, unknown, alice).closed).status, status.UNIMPLEMENTED);
    }
  });

  test('are answered with 415 if they are not gRPC, and do not stay open', async (t) => {
    const { grpcTarget } = await startApiServer(t, {}, { auth });
    const session = connectGrpc(t, grpcTarget);
    for (const contentType of ['application/json', '']) {
      const { stream, closed } = startCall(session, 'SendMessage', { 'content-type': contentType });
      const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
      assert.equal(headers[':status'], 415);
      await closed;
    }
  });

  test('are not passed to grpc-js', async (t) => {
    const { grpcTarget } = await startApiServer(t, {}, { auth });
    const createCall = t.mock.method(ServerInterceptingCall.prototype, 'start');
    const session = connectGrpc(t, grpcTarget);
    await startCall(session, 'GetTask').closed;
    assert.equal(createCall.mock.callCount(), 0);
    const { stream, closed } = startCall(session, 'GetTask', alice);
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
    await closed;
    assert.equal(createCall.mock.callCount(), 1);
  });
});

describe('gRPC calls that are sent in part', () => {
  const timeouts = { receiveMs: 200, sendMs: 60_000 };

  for (const what of ['no byte of their message', 'a part of their message', 'no end']) {
    test(`end at a deadline with ${what}`, async (t) => {
      const { grpcTarget } = await startApiServer(t, {}, { auth, timeouts });
      const { stream, closed } = startCall(connectGrpc(t, grpcTarget), 'GetTask', alice);
      if (what !== 'no byte of their message') {
        stream.write(Buffer.from(what === 'no end' ? [0, 0, 0, 0, 0] : [0, 0, 0, 1, 0]));
      }
      assert.deepEqual(await closed, {
        status: status.DEADLINE_EXCEEDED,
        message: 'The request did not arrive within 0.2 s',
        retryAfter: undefined,
      });
    });
  }

  test('are limited in number per caller', async (t) => {
    const all = { requests: 100, bytes: 1e9 };
    const receiving = { all, perCaller: { ...all, requests: 3 } };
    const { grpcTarget } = await startApiServer(t, {}, { auth, receiving });
    const session = connectGrpc(t, grpcTarget);
    const open = Array.from({ length: 3 }, () => startCall(session, 'GetTask', alice));
    const refused = await startCall(session, 'GetTask', alice).closed;
    assert.equal(refused.status, status.RESOURCE_EXHAUSTED);
    assert.match(refused.message, /a caller may send 3 requests/);
    const [first] = open;
    first?.stream.close();
    await waitFor('a closed call to free its place', async () => {
      const { stream, closed } = startCall(session, 'GetTask', alice);
      stream.end(Buffer.from([0, 0, 0, 0, 0]));
      return (await closed).status !== status.RESOURCE_EXHAUSTED;
    });
    // Otherwise the server would wait for the calls that are open.
    session.destroy();
  });

  test('are limited in bytes per caller', async (t) => {
    const all = { requests: 100, bytes: 1e9 };
    const receiving = { all, perCaller: { ...all, bytes: 100_000 } };
    const options = { auth, receiving, bodyLimitBytes: 1_000_000 };
    const { grpcTarget } = await startApiServer(t, {}, options);
    const { stream, closed } = startCall(connectGrpc(t, grpcTarget), 'SendMessage', alice);
    stream.write(Buffer.concat([Buffer.from([0, 0, 0xf, 0, 0]), Buffer.alloc(150_000)]));
    const refused = await closed;
    assert.equal(refused.status, status.RESOURCE_EXHAUSTED);
    assert.match(refused.message, /100000 bytes/);
    assert.equal(refused.retryAfter, '1');
  });

  for (const path of [
    '/lf.a2a.v1.A2AService/GetTask',
    '/a2a.v1.A2AService/GetTask',
    '/grpc.health.v1.Health/Check',
  ]) {
    test(`are refused after 64 KiB of ${path}`, async (t) => {
      const options = { auth, bodyLimitBytes: 1_000_000 };
      const { grpcTarget } = await startApiServer(t, {}, options);
      const { stream, closed } = startCall(connectGrpc(t, grpcTarget), path, alice);
      stream.write(Buffer.concat([Buffer.from([0, 0, 0xf, 0, 0]), Buffer.alloc(100_000)]));
      assert.deepEqual(await closed, {
        status: status.RESOURCE_EXHAUSTED,
        message: 'The request is larger than 65536 bytes: only requests that send a message may be larger',
        retryAfter: undefined,
      });
    });
  }

  test('are limited in number for the health service too', async (t) => {
    const all = { requests: 100, bytes: 1e9 };
    const receiving = { all, perCaller: { ...all, requests: 1 } };
    const { grpcTarget } = await startApiServer(t, {}, { auth, receiving });
    const session = connectGrpc(t, grpcTarget);
    startCall(session, '/grpc.health.v1.Health/Check');
    const refused = await startCall(session, '/grpc.health.v1.Health/Check').closed;
    assert.equal(refused.status, status.RESOURCE_EXHAUSTED);
    session.destroy();
  });

  test('are refused with more than 64 KiB of metadata', async (t) => {
    const { grpcTarget } = await startApiServer(t, {}, { auth });
    const large = { ...alice, filler: 'x'.repeat(100_000) };
    const { closed } = startCall(connectGrpc(t, grpcTarget), 'GetTask', large);
    assert.equal((await closed).status, undefined);
  });
});

describe('large gRPC messages', () => {
  const bodyLimitBytes = 8 * 1024 * 1024;

  for (const [path, values] of [
    ['/lf.a2a.v1.A2AService/SendMessage', 1_000_000],
    ['/a2a.v1.A2AService/SendMessage', 1_000_000],
  ] as const) {
    test(`are refused before they are decoded: ${path} with ${values} values`, async (t) => {
      const { grpcTarget } = await startApiServer(t, {}, { auth, bodyLimitBytes });
      const { stream, closed } = startCall(connectGrpc(t, grpcTarget), path, alice);
      const isV03 = path.startsWith('/a2a.v1.');
      stream.end(isV03 ? encodeLargeV03Send(values) : encodeLargeSend(values));
      assert.deepEqual(await closed, {
        status: status.INVALID_ARGUMENT,
        message: 'the request has more than 250000 fields: send large data as a file',
        retryAfter: undefined,
      });
    });
  }

  test('wait for their turn before they are decoded', async (t) => {
    const waited: string[] = [];
    class RecordedWork extends LargeWork {
      override start(name: string): Promise<void> {
        waited.push(name);
        return super.start(name);
      }
    }
    let received = 0;
    const { grpcTarget } = await startApiServer(
      t,
      {
        sendMessage: async ({ message }) => {
          const value: unknown = message?.parts[0]?.content?.value;
          received = (value as unknown[]).length;
          return createWireTask('t');
        },
      },
      { auth, bodyLimitBytes, largeWork: new RecordedWork() },
    );
    const session = connectGrpc(t, grpcTarget);
    for (const values of [10, 40_000]) {
      const { stream, closed } = startCall(session, 'SendMessage', alice);
      stream.end(encodeLargeSend(values));
      assert.equal((await closed).status, status.OK);
      assert.equal(received, values);
    }
    assert.deepEqual(waited, ['key:alice']);
  });
});

describe('gRPC readers', () => {
  test('are disconnected if they do not take an event in time', async (t) => {
    const disconnected = Promise.withResolvers<void>();
    let produced = 0;
    const { grpcTarget } = await startApiServer(
      t,
      {
        resubscribe: async function* ({ id }, context): AsyncGenerator<StreamResponse, void, undefined> {
          getSignal(context).addEventListener('abort', () => disconnected.resolve());
          const task = { ...createWireTask(id), metadata: { filler: 'x'.repeat(1_000_000) } };
          for (; produced < 100; produced++) yield { payload: { $case: 'task', value: task } };
        },
      },
      { timeouts: { receiveMs: 60_000, sendMs: 300 } },
    );
    const { stream, closed } = startCall(connectGrpc(t, grpcTarget), 'SubscribeToTask');
    stream.pause();
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
    await disconnected.promise;
    assert.ok(produced <= 2, `${produced} events were in memory`);
    stream.resume();
    await closed;
  });
});
