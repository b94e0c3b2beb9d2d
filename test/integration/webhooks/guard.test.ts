/** No webhook reaches the network that the dispatcher stands in, whatever its URL says and wherever its name leads. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createResolve } from '#shared/net/guarded-agent.ts';
import { defaultWebhookOptions } from '#shared/webhooks/options.ts';
import { createPushConfigs } from '#services/api/handler/push-configs.ts';
import { attemptsOf, untilSettled } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startNameServer, type Zone } from '../../support/fakes/dns.ts';
import { hostileUrls, ownHost } from '../../support/webhooks/hostile-urls.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import {
  caller,
  openTestDatabase,
  encryptor,
  startTask,
  webhookTo,
} from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const db = await openTestDatabase();

/** A receiver inside, and a dispatcher outside of whose exemptions it is, with a name server of its own. */
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
  /** The errors of all attempts at one webhook. */
  const errorsOf = async (url: string) => {
    const { taskId } = await startTask(db, outbox, webhookTo(url));
    await untilSettled(db, taskId);
    const attempts = await attemptsOf(db, taskId);
    return attempts.map(({ error, status }) => error ?? String(status));
  };
  return { inside, dns, port, errorsOf };
}

test('a URL that leads inside is refused when it is registered, and says why', async () => {
  const configs = createPushConfigs({
    db,
    encryptor,
    outbox: { publish: () => undefined, publishAll: async () => undefined, idle: async () => undefined },
    webhookGuard: { allowHosts: [], ownHosts: [ownHost] },
    wakeupGraceSeconds: 10,
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
      await assert.rejects(create(url), { message: new RegExp(`^url is refused: .*${reason}`) }, url);
    }
  }
  assert.equal((await create('https://example.com/hook')).url, 'https://example.com/hook');
});

test('a stored URL is checked again before each attempt', { timeout }, async (t) => {
  const { inside, dns, errorsOf } = await start(t, () => ['127.0.0.1']);
  // PostgreSQL cannot store the one with a null character.
  const urls = Object.values(hostileUrls)
    .flat()
    .filter((url) => !url.includes('\u0000'));
  assert.ok(urls.length >= 80);
  await Promise.all(
    urls.map(async (url) => {
      const [error, ...more] = await errorsOf(url);
      assert.match(error!, /^The (URL|port) must /, url);
      assert.deepEqual(more, []);
    }),
  );
  assert.equal(inside.received.length, 0);
  assert.equal(dns.queries('localhost'), 0);
});

test('a name that leads to any address inside is not dialled', { timeout }, async (t) => {
  const leads: Record<string, readonly string[] | 'silence'> = {
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
  const { inside, port, errorsOf } = await start(t, (name) => leads[name]);
  const told: Record<string, RegExp> = {
    'silent.example.com': /no answer within|ETIMEOUT/,
    'empty.example.com': /ENODATA/,
    'missing.example.com': /ENOTFOUND/,
  };
  const names = [...Object.keys(leads).filter((name) => name.endsWith('.com')), 'missing.example.com'];
  await Promise.all(
    names.map(async (name) => {
      const [error] = await errorsOf(`https://${name}:${port}/hook`);
      assert.match(error!, told[name] ?? /is not a public address/, name);
    }),
  );
  assert.equal(inside.received.length, 0);
});

test('a name that leads elsewhere the next time is looked up once for each dial', { timeout }, async (t) => {
  const { inside, dns, port, errorsOf } = await start(
    t,
    (_name, query) => [query === 1 ? '93.184.215.14' : '127.0.0.1'],
    { schedule: [0, 0.01] },
  );
  const [first, second] = await errorsOf(`https://rebinding.example.com:${port}/hook`);
  // Nobody answers there; what matters is that the address that was checked is the one that was dialled.
  assert.doesNotMatch(first!, /is not a public address|127\.0\.0\.1/);
  assert.match(second!, /resolves to 127\.0\.0\.1, which is not a public address/);
  assert.equal(dns.queries('rebinding.example.com'), 2);
  assert.equal(inside.received.length, 0);
});

test('a host that an operator exempts may be inside, and so may its name', { timeout }, async (t) => {
  const { inside, dns, port, errorsOf } = await start(t, () => ['127.0.0.1'], { allowHosts: ['localhost'] });
  assert.deepEqual(await errorsOf(`http://localhost:${port}/hook`), ['200']);
  assert.match((await errorsOf(`https://localhost.example.com:${port}/hook`))[0]!, /not a public address/);
  assert.equal(dns.queries('localhost'), 0, 'a name that this machine alone may know');
  assert.equal(inside.received.length, 1);
});

test('a redirect to the inside is not followed', { timeout }, async (t) => {
  const door = await startReceiver(t);
  const { inside, port, errorsOf } = await start(t, () => ['127.0.0.1'], { allowHosts: ['127.0.0.1'] });
  for (const status of [301, 302, 303, 307, 308]) {
    door.answerBy((_request, response) => void response.writeHead(status, { location: inside.url }).end());
    assert.deepEqual(await errorsOf(door.url), [String(status)]);
  }
  assert.equal(door.received.length, 5);
  assert.equal(inside.received.length, 0, `nothing came to port ${port}`);
});
