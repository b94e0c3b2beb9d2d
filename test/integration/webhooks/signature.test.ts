/** Webhook signatures as receivers see them, verified with third-party packages. */
import assert from 'node:assert/strict';
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { describe, test, type TestContext } from 'node:test';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { Webhook } from 'standardwebhooks';
import { createEncryptor, parseEncryptionKeys } from '#shared/crypto/encryption.ts';
import { setSigningSecret } from '#shared/db/webhooks/deliveries.ts';
import { reencryptSecrets } from '#shared/db/webhooks/reencrypt.ts';
import { createSigningSecret } from '#shared/webhooks/secrets.ts';
import { publicJwks, type WebhookKey } from '#shared/crypto/signing-keys.ts';
import { getMessageId } from '#shared/webhooks/message-id.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { readAttempts, readConfig } from '../../support/webhooks/deliveries.ts';
import { startReceiver, type Received, type Receiver, toHeaders } from '../../support/webhooks/receiver.ts';
import { createSigningKey } from '../../support/webhooks/signing.ts';
import { caller, encryptionKeys, encryptor, startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const issuer = 'https://agent.example.com';
const { db } = await connectToTestDatabase();

/** Delivers the first webhook of a new task with this config. */
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

function verifiesAsymmetric(webhook: Received, key: WebhookKey, body = webhook.body): boolean {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': list } = toHeaders(webhook);
  const signature = list?.split(' ').find((entry) => entry.startsWith('v1a,')) ?? '';
  const publicKey = createPublicKey({ key: key.publicJwk, format: 'jwk' });
  const content = Buffer.from(`${id}.${timestamp}.${body}`);
  return verify(null, content, publicKey, Buffer.from(signature.slice(4), 'base64'));
}

/** Starts a receiver that verifies each webhook with the secret that it knows at that time. */
async function startVerifying(
  t: TestContext,
  getSecret: () => string,
): Promise<{ receiver: Receiver; failed: unknown[] }> {
  const receiver = await startReceiver(t);
  const failed: unknown[] = [];
  receiver.answerBy((webhook) => {
    try {
      new Webhook(getSecret()).verify(webhook.body, toHeaders(webhook));
    } catch (error) {
      failed.push(error);
    }
    return 204;
  });
  return { receiver, failed };
}

const getToken = (webhook: Received) => /^Bearer (.+)$/.exec(webhook.headers.authorization ?? '')?.[1] ?? '';

describe('webhook signatures', () => {
  test('signs with the secret of the config as v1', { timeout }, async (t) => {
    const signingSecret = createSigningSecret();
    const webhook = await deliverOne(t, { signingSecret }, []);
    assert.deepEqual(
      new Webhook(signingSecret).verify(webhook.body, toHeaders(webhook)),
      JSON.parse(webhook.body),
    );
    assert.equal(webhook.headers.authorization, undefined);
    assert.throws(
      () => new Webhook(signingSecret).verify(`${webhook.body} `, toHeaders(webhook)),
      /No matching signature/,
    );
    assert.throws(
      () => new Webhook(createSigningSecret()).verify(webhook.body, toHeaders(webhook)),
      /No matching signature/,
    );
    const old = String(Math.floor(Date.now() / 1000) - 301);
    const replayed = { ...toHeaders(webhook), 'webhook-timestamp': old };
    assert.throws(() => new Webhook(signingSecret).verify(webhook.body, replayed), /too old/);
    const fresh = {
      ...toHeaders(webhook),
      'webhook-timestamp': String(Number(webhook.headers['webhook-timestamp']) + 1),
    };
    assert.throws(() => new Webhook(signingSecret).verify(webhook.body, fresh), /No matching signature/);
    const config = await db
      .selectFrom('webhook_configs')
      .select('signing_secret')
      .where('task_id', '=', webhook.taskId)
      .executeTakeFirstOrThrow();
    assert.match(config.signing_secret!, /^1\.test\./);
    assert.ok(!config.signing_secret!.includes(signingSecret.slice(6)));
  });

  test('signs with the key of the server as v1a, next to v1', { timeout }, async (t) => {
    const [key, other] = [createSigningKey('one'), createSigningKey('two')];
    const signingSecret = createSigningSecret();
    const webhook = await deliverOne(t, { signingSecret, authScheme: 'Basic', authCredentials: 'eDp5' }, [
      key,
      other,
    ]);
    assert.match(String(webhook.headers['webhook-signature']), /^v1,\S+ v1a,\S+$/);
    new Webhook(signingSecret).verify(webhook.body, toHeaders(webhook));
    assert.ok(verifiesAsymmetric(webhook, key));
    assert.ok(!verifiesAsymmetric(webhook, other));
    assert.ok(!verifiesAsymmetric(webhook, key, `${webhook.body} `));
    assert.equal(webhook.headers.authorization, 'Basic eDp5');
  });

  test('sends a token to a config without credentials', { timeout }, async (t) => {
    const key = createSigningKey('one');
    const jwks = createLocalJWKSet(publicJwks([createSigningKey('zero'), key]));
    const webhook = await deliverOne(t, {}, [key]);
    const options = { issuer, audience: webhook.url };
    const { payload, protectedHeader } = await jwtVerify(getToken(webhook), jwks, options);
    assert.deepEqual(protectedHeader, { alg: 'EdDSA', kid: 'one', typ: 'JWT' });
    assert.equal(webhook.headers['webhook-signature'], undefined, 'the key signs once');
    const { iat = 0, exp, ...claims } = payload;
    assert.equal(exp, iat + 300);
    assert.equal(String(iat), webhook.headers['webhook-timestamp']);
    assert.deepEqual(claims, {
      iss: issuer,
      aud: webhook.url,
      jti: `${getMessageId({ taskId: webhook.taskId, configId: 'hook', seq: 1 })}.1`,
      taskId: webhook.taskId,
      request_body_sha256: createHash('sha256').update(webhook.body).digest('hex'),
    });
    const later = new Date(Date.now() + 301_000);
    await assert.rejects(
      jwtVerify(getToken(webhook), jwks, { ...options, currentDate: later }),
      /"exp" claim/,
    );
    await assert.rejects(
      jwtVerify(getToken(webhook), jwks, { issuer, audience: 'https://other/' }),
      /"aud" claim/,
    );
    await assert.rejects(
      jwtVerify(getToken(webhook), jwks, { ...options, issuer: 'https://mallory' }),
      /"iss" claim/,
    );
    const foreign = createLocalJWKSet(publicJwks([createSigningKey('one')]));
    await assert.rejects(jwtVerify(getToken(webhook), foreign, options), /signature verification failed/);
    const [head, , signature] = getToken(webhook).split('.');
    const forged = Buffer.from(JSON.stringify({ ...payload, taskId: 'other' })).toString('base64url');
    await assert.rejects(
      jwtVerify(`${head}.${forged}.${signature}`, jwks, options),
      /signature verification/,
    );
  });

  test('sends a token when the scheme is Bearer without credentials', { timeout }, async (t) => {
    const key = createSigningKey('one');
    const jwks = createLocalJWKSet(publicJwks([key]));
    const bearer = await deliverOne(t, { authScheme: 'bearer' }, [key]);
    await jwtVerify(getToken(bearer), jwks, { issuer });
    const basic = await deliverOne(t, { authScheme: 'Basic' }, [key]);
    assert.equal(basic.headers.authorization, undefined);
    const own = await deliverOne(t, { authScheme: 'Bearer', authCredentials: 'mine' }, [key]);
    assert.equal(own.headers.authorization, 'Bearer mine');
    const unsigned = await deliverOne(t, {}, []);
    assert.equal(unsigned.headers.authorization, undefined);
    assert.equal(unsigned.headers['webhook-signature'], undefined);
  });

  test('fails no verification while keys change under load', { timeout }, async (t) => {
    const [first, second] = [createSigningKey('first'), createSigningKey('second')];
    const signing: { keys: readonly WebhookKey[]; issuer: string } = { keys: [first, second], issuer };
    let published: readonly WebhookKey[] = signing.keys;
    const seen = new Set<unknown>();
    const failed: unknown[] = [];
    const receiver = await startReceiver(t);
    receiver.answerBy(async (webhook) => {
      const jwks = createLocalJWKSet(publicJwks(published));
      try {
        const { protectedHeader } = await jwtVerify(getToken(webhook), jwks, {
          issuer,
          audience: receiver.url,
        });
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

  test('fails no verification while a config changes its secret under load', { timeout }, async (t) => {
    const [first, second] = [createSigningSecret(), createSigningSecret()];
    let known = first;
    const { receiver, failed } = await startVerifying(t, () => known);
    const { outbox } = await startDispatchers(t, db, 2);
    const task = await startTask(
      db,
      outbox,
      webhookTo(receiver.url, { events: 'all', signingSecret: first }),
    );
    await task.claim();
    const { taskId } = task;
    await task.progress(10);
    await receiver.count(6);
    const place = { taskId, configId: 'hook', column: 'signing_secret' };
    await setSigningSecret(db, caller, place, {
      encrypted: encryptor.encrypt(second, place),
      overlapSeconds: 60,
    });
    await task.progress(10);
    await receiver.count(22);
    known = second;
    await task.progress(10);
    await receiver.count(32);
    await db
      .updateTable('webhook_configs')
      .set({ previous_secret_until: new Date(0) })
      .where('task_id', '=', taskId)
      .execute();
    await task.progress(10);
    await receiver.count(42);
    assert.deepEqual(failed, []);
  });

  test('reads stored secrets while the encryption keys change under load', { timeout }, async (t) => {
    const secret = createSigningSecret();
    const { receiver, failed } = await startVerifying(t, () => secret);
    const [old] = encryptionKeys;
    const [next] = parseEncryptionKeys(`next:${randomBytes(32).toString('base64')}`).keys;
    const own = createEncryptor([old]);
    const { outbox } = await startDispatchers(t, db, 2, { encryptor: own, schedule: [0] });
    const config = { events: 'all', signingSecret: secret, token: 'a token' } as const;
    const tasks = await Promise.all(
      [1, 2, 3].map(() => startTask(db, outbox, webhookTo(receiver.url, config))),
    );
    await Promise.all(tasks.map((task) => task.claim()));
    let sent = 6;
    const steps: (() => unknown)[] = [
      () => own.useKeys([old, next]),
      () => own.useKeys([next, old]),
      () => reencryptSecrets(db, own, next.id),
      () => own.useKeys([next]),
    ];
    for (const change of steps) {
      const round = Promise.all(tasks.map((task) => task.progress(10)));
      await receiver.count(sent + 5);
      await change();
      await round;
      await receiver.count((sent += 30));
    }
    assert.deepEqual(failed, []);
    const ids = tasks.map(({ taskId }) => taskId);
    assert.ok((await readAttempts(db, ...ids)).every(({ status }) => status === 204));
    const { signing_secret } = await readConfig(db, ids[0]!);
    assert.match(signing_secret ?? '', /^1\.next\./);
  });
});
