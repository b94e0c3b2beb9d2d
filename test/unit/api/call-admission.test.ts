/** Calls are admitted before grpc-js knows of them. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import { createLogger } from '#shared/runtime/log.ts';
import { UnauthenticatedError } from '#services/api/auth/errors.ts';
import {
  createCallAdmission,
  getAdmittedCall,
  type AdmissionParts,
} from '#services/api/bindings/grpc/call-admission.ts';
import { boundCallStarts } from '#services/api/bindings/grpc/call-starts.ts';
import { TooManyRequestsError } from '#services/api/handler/errors.ts';
import { connectGrpc, startCall } from '../../support/clients/raw-grpc.ts';

interface Setup extends Partial<AdmissionParts> {
  /** How long calls have waited, in milliseconds. */
  waitedMs?: number;
}

/** Starts a server whose calls are answered with what `describeCall` returns once they are admitted. */
async function startServer(
  t: TestContext,
  { waitedMs = 0, ...parts }: Setup,
  describeCall: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => string = () => 'admitted',
) {
  const log = createLogger('test', 'silent');
  const admit = createCallAdmission(
    { admitCaller: async () => ({ isAuthenticated: false }) as never, trustedProxies: 0, log, ...parts },
    (path) => path === '/public',
  );
  const server = createServer();
  server.on('stream', (stream, headers) => {
    void admit(stream, headers, performance.now() - waitedMs, () => {
      const message = describeCall(stream, headers);
      stream.respond({ 'grpc-status': status.OK, 'grpc-message': message }, { endStream: true });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return connectGrpc(t, `127.0.0.1:${(server.address() as AddressInfo).port}`);
}

describe('admission of gRPC calls', () => {
  test('sends any text of a refusal, and when to retry', async (t) => {
    const errors = [
      new UnauthenticatedError('no 🔑, half of one: \ud83d'),
      new TooManyRequestsError('full', 7),
    ];
    const session = await startServer(t, {
      admitCaller: () => Promise.reject(errors.shift()!),
    });
    assert.deepEqual(await startCall(session, 'GetTask').closed, {
      status: status.UNAUTHENTICATED,
      message: 'no 🔑, half of one: \ufffd',
      retryAfter: undefined,
    });
    assert.deepEqual(await startCall(session, 'GetTask').closed, {
      status: status.RESOURCE_EXHAUSTED,
      message: 'full',
      retryAfter: '7',
    });
  });

  test('answers no call that its client has cancelled meanwhile', async (t) => {
    const log = createLogger('test', 'silent');
    const failed = t.mock.method(log, 'error');
    for (const isRefused of [true, false]) {
      const asked = Promise.withResolvers<void>();
      const decided = Promise.withResolvers<never>();
      const started: string[] = [];
      const session = await startServer(
        t,
        {
          log,
          admitCaller: () => {
            asked.resolve();
            return decided.promise;
          },
        },
        (stream) => `${started.push(String(stream.id))}`,
      );
      const { stream, closed } = startCall(session, 'GetTask');
      await asked.promise;
      stream.close(constants.NGHTTP2_CANCEL);
      await closed;
      // The server has received the cancellation when it answers a later request of the connection.
      await new Promise<void>((resolve) => session.ping(() => resolve()));
      if (isRefused) decided.reject(new UnauthenticatedError('no'));
      else decided.resolve({ isAuthenticated: false } as never);
      await new Promise(setImmediate);
      assert.deepEqual(started, []);
    }
    assert.equal(failed.mock.callCount(), 0);
  });

  test('takes the wait off the timeout of a call', async (t) => {
    const session = await startServer(t, { waitedMs: 200 }, (_stream, headers) =>
      String(headers['grpc-timeout']),
    );
    const call = (timeout: string) => startCall(session, 'GetTask', { 'grpc-timeout': timeout }).closed;
    for (const timeout of ['50m', '199999u', '99999999n', '0S']) {
      assert.equal((await call(timeout)).status, status.DEADLINE_EXCEEDED, timeout);
    }
    for (const [timeout, ms] of [
      ['1S', 800],
      ['5000m', 4800],
      ['1H', 3_599_800],
      ['3M', 179_800],
      ['90000000u', 89_800],
    ] as const) {
      const left = Number(/^(\d{1,8})m$/.exec((await call(timeout)).message)?.[1]);
      assert.ok(left <= ms && left > ms - 150, `${timeout}: ${left}`);
    }
    // Not changed: too long for eight digits of milliseconds, and what grpc-js refuses.
    for (const timeout of ['99999999H', '5', '123456789m', '1s']) {
      assert.equal((await call(timeout)).message, timeout);
    }
  });

  test('determines the address of the client as over HTTP', async (t) => {
    const getAddress = (stream: ServerHttp2Stream): string => getAdmittedCall(stream).getAddress();
    const forwarded = { 'x-forwarded-for': '192.0.2.1, 192.0.2.2' };
    for (const [trustedProxies, address] of [
      [0, '127.0.0.1'],
      [1, '192.0.2.2'],
      [2, '192.0.2.1'],
    ] as const) {
      const session = await startServer(t, { trustedProxies }, getAddress);
      assert.equal((await startCall(session, 'GetTask', forwarded).closed).message, address);
    }
  });

  test('needs no credentials for public methods alone', async (t) => {
    const session = await startServer(t, {
      admitCaller: () => Promise.reject(new UnauthenticatedError('no')),
    });
    assert.equal((await startCall(session, '/public').closed).message, 'admitted');
    assert.equal((await startCall(session, '/other/public').closed).status, status.UNAUTHENTICATED);
  });
});

describe('starts of gRPC calls', () => {
  /** Returns a function that receives calls of a connection. */
  function createStarts() {
    const server = new EventEmitter();
    server.on('stream', () => undefined);
    const started: string[] = [];
    const refused: number[] = [];
    boundCallStarts(server as Http2Server, async (stream) => {
      started.push((stream.session as unknown as { name: string }).name);
    });
    const receive = (session: { name: string }): void => {
      const stream = Object.assign(new EventEmitter(), {
        session,
        close: (code: number) => refused.push(code),
      });
      server.emit('stream', stream, {});
    };
    return { started, refused, receive };
  }

  test('take turns by connection, eight in each iteration', async () => {
    const { started, receive } = createStarts();
    const [a, b] = [{ name: 'a' }, { name: 'b' }];
    for (let n = 0; n < 20; n++) receive(a);
    receive(b);
    assert.equal(started.length, 8);
    await new Promise(setImmediate);
    assert.equal(started.length, 16);
    assert.equal(started.indexOf('b'), 9);
  });

  test('are refused in a way that allows repeating them, beyond 2,000', () => {
    const { refused, receive } = createStarts();
    const session = { name: 'a' };
    for (let n = 0; n < 2_010; n++) receive(session);
    assert.deepEqual(refused, [constants.NGHTTP2_REFUSED_STREAM, constants.NGHTTP2_REFUSED_STREAM]);
  });
});
