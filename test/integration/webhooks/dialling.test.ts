/** Connections over a real network: far receivers, lost packets, name servers that do not answer, bad certificates. */
// cspell:ignore SECLEVEL
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { before, describe, test, type TestContext } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { createPost } from '#services/dispatcher/post.ts';
import { dial } from '#shared/net/dial.ts';
import { createGuardedAgent, ForbiddenAddressError } from '#shared/net/guarded-agent.ts';
import { createResolve } from '#shared/net/resolve.ts';
import { createAuthority, hasOpenSsl, type Certificate } from '../../support/network/certificates.ts';
import { createSuiteCleanup, type Cleanup } from '../../support/cleanup.ts';
import { startNameServer, type Zone } from '../../support/fakes/dns.ts';
import { runNode } from '../../support/processes/processes.ts';

async function listen(t: Cleanup, server: Server, host: string, port = 0): Promise<number> {
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Starts a receiver that answers no SYN until it is continued: its process is stopped, its queue full. */
async function startFrozenReceiver(t: TestContext): Promise<{ port: number; continue: () => void }> {
  const code = `require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () {
    console.log('port ' + this.address().port);
  });`;
  const { child, line } = runNode(t, ['-e', code]);
  const port = Number((await line(/port (\d+)/))[1]);
  child.kill('SIGSTOP');
  const fillers = [1, 2].map(() => connect(port, '127.0.0.1'));
  t.after(() => fillers.map((socket) => socket.destroy()));
  await Promise.all(fillers.map((socket) => once(socket, 'connect')));
  for (const socket of fillers) socket.on('error', () => undefined);
  return { port, continue: () => child.kill('SIGCONT') };
}

async function* toBatches(...batches: string[][]) {
  yield* batches;
}

describe('dialling a host', { skip: process.platform !== 'linux', concurrency: true }, () => {
  const dialNow = async (t: TestContext, addresses: string[], port: number, boundMs = 20_000) => {
    const socket = await dial(toBatches(addresses), port, AbortSignal.timeout(boundMs));
    socket.on('error', () => undefined);
    t.after(() => socket.destroy());
    return socket.remoteAddress;
  };

  test('waits for an address whose first packet was lost, after the others failed', async (t) => {
    const receiver = await startFrozenReceiver(t);
    setTimeout(receiver.continue, 400);
    assert.equal(await dialNow(t, ['127.0.0.1', '127.0.0.2'], receiver.port), '127.0.0.1');
  });

  test('tries the next address while the first does not answer', async (t) => {
    const { port } = await startFrozenReceiver(t);
    await listen(t, createServer(), '127.0.0.2', port);
    assert.equal(await dialNow(t, ['127.0.0.1', '127.0.0.2'], port), '127.0.0.2');
  });

  test('tries IPv6 first, and IPv4 when that fails', async (t) => {
    const port = await listen(t, createServer(), '127.0.0.1');
    assert.equal(await dialNow(t, ['127.0.0.1', '::ffff:127.0.0.3'], port), '127.0.0.1');
  });

  test('reports the errors of all addresses', async (t) => {
    const port = await listen(t, createServer(), '127.0.0.3');
    await assert.rejects(dialNow(t, ['127.0.0.1', '127.0.0.2'], port), ({ errors }: AggregateError) => {
      assert.match(String(errors), /ECONNREFUSED 127\.0\.0\.1.*ECONNREFUSED 127\.0\.0\.2/s);
      return true;
    });
  });

  test('ends all attempts at the deadline', async (t) => {
    const { port } = await startFrozenReceiver(t);
    await assert.rejects(dialNow(t, ['127.0.0.1'], port, 100), { name: 'TimeoutError' });
  });
});

describe('resolving a host', { concurrency: true }, () => {
  const resolve = async (t: TestContext, zone: Zone) => {
    const server = await startNameServer(t, zone);
    return createResolve(60_000, [server.address])('receiver.example.com');
  };

  test('does not wait for a name server that ignores queries for IPv6', async (t) => {
    const batches = await resolve(t, (_name, _query, type) => (type === 'A' ? ['192.0.2.1'] : 'silence'));
    const startedAt = performance.now();
    for await (const addresses of batches) {
      assert.deepEqual(addresses, ['192.0.2.1']);
      break;
    }
    // The first try of a query takes 15 s.
    assert.ok(performance.now() - startedAt < 5_000);
  });

  test('yields the addresses of a late answer afterwards', async (t) => {
    const late = Promise.withResolvers<string[]>();
    const batches = await resolve(t, (_name, _query, type) =>
      type === 'AAAA' ? ['2001:db8::1'] : late.promise,
    );
    const seen: (readonly string[])[] = [];
    for await (const addresses of batches) {
      seen.push(addresses);
      late.resolve(['192.0.2.1']);
    }
    assert.deepEqual(seen, [['2001:db8::1'], ['192.0.2.1']]);
  });

  test('refuses a host if a late address is private', async (t) => {
    const agent = createGuardedAgent({
      allowHosts: [],
      timeoutMs: 20_000,
      resolve: () => toBatches(['93.184.215.14'], ['::1']),
    });
    t.after(() => agent.destroy());
    await assert.rejects(
      agent.request({ origin: 'https://receiver.example.com:8443', path: '/', method: 'GET' }),
      ForbiddenAddressError,
    );
  });
});

describe('a webhook over TLS', { skip: !hasOpenSsl() }, () => {
  const cleanup = createSuiteCleanup();
  let certificates: Record<'valid' | 'expired' | 'other' | 'unknown' | 'selfSigned', Certificate>;
  before(() => {
    const [trusted, untrusted] = [createAuthority(cleanup), createAuthority(cleanup)];
    certificates = {
      valid: trusted.issue('localhost', 1),
      expired: trusted.issue('localhost', -1),
      other: trusted.issue('other.example.com', 1),
      unknown: untrusted.issue('localhost', 1),
      selfSigned: untrusted.authority,
    };
    const defaults = getCACertificates();
    setDefaultCACertificates([...defaults, trusted.authority.cert]);
    cleanup.after(() => setDefaultCACertificates(defaults));
  });

  async function postTo(t: TestContext, server: Server): Promise<string | number | null> {
    const port = await listen(t, server, '127.0.0.1');
    const options = { allowHosts: ['localhost'], timeoutMs: 20_000 };
    const agents = { pooled: createGuardedAgent(options), fresh: createGuardedAgent(options) };
    t.after(() => Promise.all([agents.pooled.destroy(), agents.fresh.destroy()]));
    const receiver = { origin: `https://localhost:${port}`, path: '/' };
    const post = createPost(agents, options.timeoutMs);
    const { status, error } = await post({
      receiver,
      headers: {},
      body: '{}',
      onRepeat: () => undefined,
      onWrite: () => undefined,
    });
    return error ?? status;
  }

  const cases: [name: keyof typeof certificates, expected: RegExp][] = [
    ['valid', /^204$/],
    ['expired', /^TLS: the certificate of the receiver has expired \(CERT_HAS_EXPIRED/],
    ['other', /^TLS: .* is for another name \(ERR_TLS_CERT_ALTNAME_INVALID: .*DNS:other\.example\.com/],
    ['unknown', /^TLS: .* comes from an unknown authority, .* \(UNABLE_TO_VERIFY_LEAF_SIGNATURE/],
    ['selfSigned', /^TLS: the certificate of the receiver is self-signed \(DEPTH_ZERO_SELF_SIGNED_CERT/],
  ];
  for (const [name, expected] of cases) {
    test(`gets a clear result for a certificate that is ${name}`, async (t) => {
      const server = createHttpsServer(certificates[name], (_request, response) =>
        response.writeHead(204).end(),
      );
      t.after(() => server.closeAllConnections());
      assert.match(String(await postTo(t, server)), expected);
    });
  }

  test('says that a port does not use TLS', async (t) => {
    const server = createHttpServer((_request, response) => response.end());
    assert.match(
      String(await postTo(t, server)),
      /^TLS: the port of the receiver does not use TLS \(ERR_SSL_/,
    );
  });

  test('says that the versions of TLS do not match', async (t) => {
    const options = {
      ...certificates.valid,
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1',
      ciphers: 'ALL:@SECLEVEL=0',
    } as const;
    assert.match(
      String(await postTo(t, createHttpsServer(options))),
      /^TLS: the receiver accepts no TLS version/,
    );
  });

  test('says that the receiver hung up during the handshake', async (t) => {
    const server = createServer((socket) => socket.destroy());
    assert.match(
      String(await postTo(t, server)),
      /^TLS: the receiver closed the connection during the handshake/,
    );
  });
});
