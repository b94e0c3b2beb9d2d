/** That a webhook is from here, as receivers see it: verified by packages that know nothing of this project. */
import assert from 'node:assert/strict';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { Webhook } from 'standardwebhooks';
import { makeSigningSecret } from '#shared/webhooks/secrets.ts';
import { publicJwks, type WebhookKey } from '#shared/crypto/signing-keys.ts';
import { signingKey } from '../../support/webhooks/signing.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver, type Received } from '../../support/webhooks/receiver.ts';
import { openTestDatabase, startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const issuer = 'https://agent.example.com';
const db = await openTestDatabase();

const flat = ({ headers }: Received) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));

/** The first webhook of a task whose config is this one. */
async function deliverOne(
  t: TestContext,
  config: Parameters<typeof webhookTo>[1],
  keys: readonly WebhookKey[],
): Promise<Received & { url: string; taskId: string }> {
  const receiver = await startReceiver(t);
  const { outbox } = await startDispatchers(t, db, 1, { signing: { keys, issuer } });
  const { taskId } = await startTask(db, outbox, webhookTo(receiver.url, config));
  await receiver.count(1);
  return { ...receiver.received[0]!, url: receiver.url, taskId };
}

function verifiesAsymmetric(got: Received, key: WebhookKey, body = got.body): boolean {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': list } = flat(got);
  const signature = list?.split(' ').find((one) => one.startsWith('v1a,')) ?? '';
  const publicKey = createPublicKey({ key: key.publicJwk, format: 'jwk' });
  const content = Buffer.from(`${id}.${timestamp}.${body}`);
  return verify(null, content, publicKey, Buffer.from(signature.slice(4), 'base64'));
}

const tokenOf = (got: Received) => /^Bearer (.+)$/.exec(got.headers.authorization ?? '')?.[1] ?? '';

test('Standard Webhooks verifies v1 with the secret of the config', { timeout }, async (t) => {
  const signingSecret = makeSigningSecret();
  const got = await deliverOne(t, { signingSecret }, []);
  assert.deepEqual(new Webhook(signingSecret).verify(got.body, flat(got)), JSON.parse(got.body));
  assert.equal(got.headers.authorization, undefined);
  assert.throws(() => new Webhook(signingSecret).verify(`${got.body} `, flat(got)), /No matching signature/);
  assert.throws(() => new Webhook(makeSigningSecret()).verify(got.body, flat(got)), /No matching signature/);
  const old = String(Math.floor(Date.now() / 1000) - 301);
  const replayed = { ...flat(got), 'webhook-timestamp': old };
  assert.throws(() => new Webhook(signingSecret).verify(got.body, replayed), /too old/);
  const fresh = { ...flat(got), 'webhook-timestamp': String(Number(got.headers['webhook-timestamp']) + 1) };
  assert.throws(() => new Webhook(signingSecret).verify(got.body, fresh), /No matching signature/);
  const config = await db
    .selectFrom('webhook_configs')
    .select('signing_secret')
    .where('task_id', '=', got.taskId)
    .executeTakeFirstOrThrow();
  assert.match(config.signing_secret!, /^1\.test\./);
  assert.ok(!config.signing_secret!.includes(signingSecret.slice(6)));
});

test('v1a is of the key of the server, beside v1 where there is a secret', { timeout }, async (t) => {
  const [key, other] = [signingKey('one'), signingKey('two')];
  const signingSecret = makeSigningSecret();
  const got = await deliverOne(t, { signingSecret, authScheme: 'Basic', authCredentials: 'eDp5' }, [
    key,
    other,
  ]);
  assert.match(String(got.headers['webhook-signature']), /^v1,\S+ v1a,\S+$/);
  new Webhook(signingSecret).verify(got.body, flat(got));
  assert.ok(verifiesAsymmetric(got, key));
  assert.ok(!verifiesAsymmetric(got, other));
  assert.ok(!verifiesAsymmetric(got, key, `${got.body} `));
  assert.equal(got.headers.authorization, 'Basic eDp5');
});

test(
  'a config without credentials gets a token, which jose verifies by the key set',
  { timeout },
  async (t) => {
    const key = signingKey('one');
    const jwks = createLocalJWKSet(publicJwks([signingKey('zero'), key]));
    const got = await deliverOne(t, {}, [key]);
    const options = { issuer, audience: got.url };
    const { payload, protectedHeader } = await jwtVerify(tokenOf(got), jwks, options);
    assert.deepEqual(protectedHeader, { alg: 'EdDSA', kid: 'one', typ: 'JWT' });
    const { iat = 0, exp, ...claims } = payload;
    assert.equal(exp, iat + 300);
    assert.equal(String(iat), got.headers['webhook-timestamp']);
    assert.deepEqual(claims, {
      iss: issuer,
      aud: got.url,
      jti: `${got.taskId}.hook.1.1`,
      taskId: got.taskId,
      request_body_sha256: createHash('sha256').update(got.body).digest('hex'),
    });
    const later = new Date(Date.now() + 301_000);
    await assert.rejects(jwtVerify(tokenOf(got), jwks, { ...options, currentDate: later }), /"exp" claim/);
    await assert.rejects(
      jwtVerify(tokenOf(got), jwks, { issuer, audience: 'https://other/' }),
      /"aud" claim/,
    );
    await assert.rejects(
      jwtVerify(tokenOf(got), jwks, { ...options, issuer: 'https://mallory' }),
      /"iss" claim/,
    );
    const foreign = createLocalJWKSet(publicJwks([signingKey('one')]));
    await assert.rejects(jwtVerify(tokenOf(got), foreign, options), /signature verification failed/);
    const [head, , signature] = tokenOf(got).split('.');
    const forged = Buffer.from(JSON.stringify({ ...payload, taskId: 'other' })).toString('base64url');
    await assert.rejects(
      jwtVerify(`${head}.${forged}.${signature}`, jwks, options),
      /signature verification/,
    );
  },
);

test('a scheme named alone asks for the token if it is Bearer, and no other', { timeout }, async (t) => {
  const key = signingKey('one');
  const jwks = createLocalJWKSet(publicJwks([key]));
  const bearer = await deliverOne(t, { authScheme: 'bearer' }, [key]);
  await jwtVerify(tokenOf(bearer), jwks, { issuer });
  const basic = await deliverOne(t, { authScheme: 'Basic' }, [key]);
  assert.equal(basic.headers.authorization, undefined);
  const own = await deliverOne(t, { authScheme: 'Bearer', authCredentials: 'mine' }, [key]);
  assert.equal(own.headers.authorization, 'Bearer mine');
  const unsigned = await deliverOne(t, {}, []);
  assert.equal(unsigned.headers.authorization, undefined);
  assert.equal(unsigned.headers['webhook-signature'], undefined);
});

test('keys change under load, with overlap, and no verification fails', { timeout }, async (t) => {
  const [first, second] = [signingKey('first'), signingKey('second')];
  const signing: { keys: readonly WebhookKey[]; issuer: string } = { keys: [first, second], issuer };
  let published: readonly WebhookKey[] = signing.keys;
  const seen = new Set<unknown>();
  const failed: unknown[] = [];
  const receiver = await startReceiver(t);
  receiver.answerBy(async (got) => {
    const jwks = createLocalJWKSet(publicJwks(published));
    try {
      const { protectedHeader } = await jwtVerify(tokenOf(got), jwks, { issuer, audience: receiver.url });
      seen.add(protectedHeader.kid);
    } catch (error) {
      failed.push(error);
    }
    return 204;
  });
  const { outbox } = await startDispatchers(t, db, 2, { signing });
  const tasks = await Promise.all(
    Array.from({ length: 8 }, () => startTask(db, outbox, webhookTo(receiver.url, { events: 'all' }))),
  );
  await Promise.all(tasks.map((task) => task.claim()));
  const round = () => Promise.all(tasks.map((task) => task.progress(10)));
  await round();
  await receiver.count(20);
  signing.keys = [second, first];
  await round();
  await receiver.count(16 + 80 + 40);
  signing.keys = [second];
  await round();
  await receiver.count(16 + 240);
  published = signing.keys;
  await round();
  await receiver.count(16 + 320);
  assert.deepEqual(failed, []);
  assert.deepEqual(seen, new Set(['first', 'second']));
});
