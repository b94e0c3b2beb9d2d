/** Webhooks never reach a private network, by URL, by DNS or by redirect. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { createResolve } from '#shared/net/resolve.ts';
import { defaultWebhookOptions } from '#shared/webhooks/options.ts';
import { createPushConfigs } from '#services/api/handler/push-configs.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { unlimitedQuotas } from '../../support/services/quotas.ts';
import { startNameServer, type Zone } from '../../support/fakes/dns.ts';
import { readAttempts, waitForDeliveries } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { hostileUrls, ownHost } from '../../support/webhooks/hostile-urls.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { caller, encryptor, startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const { db } = await connectToTestDatabase();

/** Starts a receiver at a private address that the dispatcher must not call, and a name server. */
async function start(
  t: TestContext,
  zone: Zone,
  options: { schedule?: number[]; allowHosts?: string[] } = {},
) {
  const [inside, dns] = await Promise.all([startReceiver(t), startNameServer(t, zone)]);
  const timeoutMs = 3_000;
  const resolve = createResolve(timeoutMs, [dns.address]);
  const { outbox } = await startDispatchers(t, db, 1, {
    schedule: [0],
    allowHosts: [],
    timeoutMs,
    resolve,
    ...options,
  });
  const { port } = new URL(inside.url);
  /** Returns the errors, or statuses, of all attempts at one webhook. */
  const deliverTo = async (url: string) => {
    const { taskId } = await startTask(db, outbox, webhookTo(url));
    await waitForDeliveries(db, taskId);
    const attempts = await readAttempts(db, taskId);
    return attempts.map(({ error, status }) => error ?? String(status));
  };
  return { inside, dns, port, deliverTo };
}

describe('network guard', () => {
  test('refuses a private URL when its config is created, and says why', async () => {
    const configs = createPushConfigs({
      db,
      encryptor,
      outbox: { publish: () => undefined, publishAll: async () => undefined, idle: async () => undefined },
      webhookGuard: { allowHosts: [], ownHosts: [ownHost] },
      wakeupGraceSeconds: 10,
      webhookRequestsPerMinute: 0,
      quotas: unlimitedQuotas,
    });
    const { taskId } = await startTask(db, undefined);
    const create = (url: string) =>
      configs.create(
        { taskId, url, tenant: '', id: '', token: '', authentication: undefined },
        caller,
        '1.0',
        defaultWebhookOptions,
      );
    for (const [reason, urls] of Object.entries(hostileUrls)) {
      for (const url of urls) {
        await assert.rejects(create(url), { message: new RegExp(`^url is not valid: .*${reason}`) }, url);
      }
    }
    assert.equal((await create('https://example.com/hook')).url, 'https://example.com/hook');
  });

  test('checks a stored URL again before each attempt', { timeout }, async (t) => {
    const { inside, dns, deliverTo } = await start(t, () => ['127.0.0.1']);
    // PostgreSQL cannot store a null character.
    const urls = Object.values(hostileUrls)
      .flat()
      .filter((url) => !url.includes('\u0000'));
    assert.ok(urls.length >= 80);
    await Promise.all(
      urls.map(async (url) => {
        const [error, ...more] = await deliverTo(url);
        assert.match(error!, /^The (URL|port) must /, url);
        assert.deepEqual(more, []);
      }),
    );
    assert.equal(inside.received.length, 0);
    assert.equal(dns.queries('localhost'), 0);
  });

  test('does not dial a name that resolves to any private address', { timeout }, async (t) => {
    const addresses: Record<string, readonly string[] | 'silence'> = {
      'loopback.example.com': ['127.0.0.1'],
      'mixed.example.com': ['93.184.215.14', '127.0.0.1'],
      'mixed6.example.com': ['93.184.215.14', '::1'],
      'zero.example.com': ['0.0.0.0'],
      'private.example.com': ['10.0.0.7'],
      'shared.example.com': ['100.64.0.1'],
      'metadata.example.com': ['169.254.169.254'],
      'metadata6.example.com': ['fd20:ce::254'],
      'mapped.example.com': ['::ffff:127.0.0.1'],
      'compatible.example.com': ['::127.0.0.1'],
      'nat64.example.com': ['64:ff9b::7f00:1'],
      '6to4.example.com': ['2002:7f00:1::'],
      'alias.example.com': ['CNAME metadata.google.internal'],
      'metadata.google.internal': ['169.254.169.254'],
      'far.example.com': ['CNAME alias.example.com'],
      'google.example.com': ['199.36.153.8'],
      'silent.example.com': 'silence',
      'empty.example.com': [],
    };
    const { inside, port, deliverTo } = await start(t, (name) => addresses[name]);
    const otherErrors: Record<string, RegExp> = {
      'silent.example.com': /no answer within|ETIMEOUT/,
      'empty.example.com': /ENODATA/,
      'missing.example.com': /ENOTFOUND/,
    };
    const names = [...Object.keys(addresses).filter((name) => name.endsWith('.com')), 'missing.example.com'];
    await Promise.all(
      names.map(async (name) => {
        const [error] = await deliverTo(`https://${name}:${port}/hook`);
        assert.match(error!, otherErrors[name] ?? /has an address that is not public/, name);
        assert.doesNotMatch(error!, /\d+\.\d+\.\d+|::/, name);
      }),
    );
    assert.equal(inside.received.length, 0);
  });

  test('resolves a name once for each connection', { timeout }, async (t) => {
    const { inside, dns, port, deliverTo } = await start(
      t,
      (_name, query) => [query === 1 ? '93.184.215.14' : '127.0.0.1'],
      { schedule: [0, 0.01] },
    );
    const [first, second] = await deliverTo(`https://rebinding.example.com:${port}/hook`);
    // The connection fails, but to the address that was checked.
    assert.doesNotMatch(first!, /not public/);
    assert.equal(second, 'the host of the URL has an address that is not public');
    assert.equal(dns.queries('rebinding.example.com'), 2);
    assert.equal(inside.received.length, 0);
  });

  test('dials a private host that the operator allows', { timeout }, async (t) => {
    const { inside, dns, port, deliverTo } = await start(t, () => ['127.0.0.1'], {
      allowHosts: ['localhost'],
    });
    assert.deepEqual(await deliverTo(`http://localhost:${port}/hook`), ['200']);
    assert.match((await deliverTo(`https://localhost.example.com:${port}/hook`))[0]!, /not public/);
    assert.equal(dns.queries('localhost'), 0, 'localhost is resolved by the machine');
    assert.equal(inside.received.length, 1);
  });

  test('does not follow a redirect to a private address', { timeout }, async (t) => {
    const redirecting = await startReceiver(t);
    const { inside, port, deliverTo } = await start(t, () => ['127.0.0.1'], { allowHosts: ['127.0.0.1'] });
    for (const status of [301, 302, 303, 307, 308]) {
      redirecting.answerBy(
        (_request, response) => void response.writeHead(status, { location: inside.url }).end(),
      );
      assert.deepEqual(await deliverTo(redirecting.url), [String(status)]);
    }
    assert.equal(redirecting.received.length, 5);
    assert.equal(inside.received.length, 0, `a request arrived at port ${port}`);
  });
});
