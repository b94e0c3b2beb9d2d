/** Callers that the dispatcher accepts: tokens signed as by Google, in both modes. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, test, type TestContext } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT, type JWK, type JWTPayload } from 'jose';
import { CallerError, createCheckCaller, type CheckCaller } from '#shared/gcp/caller-auth.ts';
import { readDispatcherConfig } from '#shared/runtime/config/dispatcher.ts';
import { listen } from '../../support/network/listen.ts';
import { isCompleted, startStack } from '../../support/stack.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';

const audience = 'https://dispatcher.example';
const email = 'longhaul-tasks@project.iam.gserviceaccount.com';
const { privateKey, publicKey } = await generateKeyPair('RS256');
const stranger = await generateKeyPair('RS256');
const now = Math.floor(Date.now() / 1000);
const claims: JWTPayload = {
  iss: 'https://accounts.google.com',
  aud: audience,
  sub: '1',
  email,
  email_verified: true,
  iat: now,
  exp: now + 3600,
};

async function createToken(more: Claims = {}, key = privateKey): Promise<string> {
  return new SignJWT({ ...claims, ...more } as JWTPayload)
    .setProtectedHeader({ alg: 'RS256', kid: 'k' })
    .sign(key);
}

/** Returns a token as Cloud Run passes it on after verifying it. */
async function createStrippedToken(more: Claims = {}): Promise<string> {
  return (await createToken(more)).replace(/[^.]*$/, 'SIGNATURE_REMOVED_BY_GOOGLE');
}

async function startCerts(t: TestContext, keys: () => Promise<{ keys: JWK[] }>): Promise<string> {
  const server = createServer((_request, response) => {
    void keys().then((set) =>
      response.setHeader('content-type', 'application/json').end(JSON.stringify(set)),
    );
  });
  return `${await listen(t, server)}/certs`;
}

type Claims = { [Name in keyof JWTPayload]: JWTPayload[Name] | undefined };

const wrongClaims: [string, Claims][] = [
  ['another audience', { aud: 'https://other.example' }],
  ['no audience', { aud: undefined }],
  ['several audiences', { aud: [audience, 'https://other.example'] }],
  ['another service account', { email: `x${email}` }],
  ['no email', { email: undefined }],
  ['an email that is not verified', { email_verified: false }],
  ['an email without email_verified', { email_verified: undefined }],
  ['another issuer', { iss: 'https://accounts.example' }],
  ['expired', { exp: now - 60 }],
  ['no expiry', { exp: undefined }],
  ['made in the future', { iat: now + 600 }],
];

async function assertRefused(
  check: CheckCaller,
  authorization: string | undefined,
  reason: string,
): Promise<void> {
  await assert.rejects(
    check({ authorization }, email),
    (error) => {
      assert.ok(error instanceof CallerError, `${reason}: ${String(error)}`);
      const [, payload = 'none'] = authorization?.split('.') ?? [];
      assert.ok(!error.message.includes(payload), 'the error contains the token');
      return true;
    },
    reason,
  );
}

describe('callers of the dispatcher', () => {
  test('checks signature and claims in mode verify', async (t) => {
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'RS256' };
    const certsUrl = await startCerts(t, async () => Promise.resolve({ keys: [jwk] }));
    const check = createCheckCaller({ mode: 'verify', audience, certsUrl });
    await check({ authorization: `Bearer ${await createToken()}` }, email);
    for (const [reason, more] of wrongClaims) {
      await assertRefused(check, `Bearer ${await createToken(more)}`, reason);
    }
    await assertRefused(check, `Bearer ${await createToken({}, stranger.privateKey)}`, 'another key');
    await assertRefused(check, `Bearer ${await createStrippedToken()}`, 'no fallback to iam');
    await assertRefused(check, undefined, 'no token');
    await assertRefused(check, 'Bearer x', 'no JWT');
  });

  test('reports an error of its own when the keys cannot be fetched', async () => {
    const check = createCheckCaller({ mode: 'verify', audience, certsUrl: 'http://127.0.0.1:9/certs' });
    await assert.rejects(
      check({ authorization: `Bearer ${await createToken()}` }, email),
      /could not fetch the keys of Google/,
    );
  });

  test('checks the claims of tokens that Cloud Run has verified in mode iam', async () => {
    const check = createCheckCaller({ mode: 'iam', audience });
    await check({ authorization: `Bearer ${await createStrippedToken()}` }, email);
    for (const [reason, more] of wrongClaims) {
      await assertRefused(check, `Bearer ${await createStrippedToken(more)}`, reason);
    }
    await assertRefused(check, `Bearer ${await createToken()}`, 'Cloud Run did not check it');
    const forged = { authorization: `Bearer ${await createStrippedToken()}` };
    const ofStranger = `Bearer ${await createStrippedToken({ email: `x${email}` })}`;
    for (const decisive of [ofStranger, '', ofStranger.slice(7)]) {
      await assert.rejects(check({ ...forged, 'x-serverless-authorization': decisive }, email), CallerError);
    }
    await assertRefused(check, undefined, 'no token');
  });

  test('requires a mode, and allows none only with the emulator', () => {
    const env = {
      DATABASE_URL: 'postgres://h/d',
      GOOGLE_CLOUD_PROJECT: 'p',
      DISPATCHER_URL: audience,
      ENCRYPTION_KEYS: `k:${Buffer.alloc(32).toString('base64')}`,
    };
    assert.throws(() => readDispatcherConfig(env), /CALLER_AUTH must be iam .* or verify/);
    assert.throws(
      () => readDispatcherConfig({ ...env, CALLER_AUTH: 'none' }),
      /CALLER_AUTH=none lets anyone call/,
    );
    assert.throws(
      () => readDispatcherConfig({ ...env, CALLER_AUTH: 'iam' }),
      /SCHEDULER_SERVICE_ACCOUNT is not set/,
    );
    const local = { ...env, CLOUD_TASKS_EMULATOR_HOST: '127.0.0.1:1' };
    assert.equal(readDispatcherConfig(local).callers.auth.mode, 'none');
  });

  test('accepts the token of Cloud Tasks and refuses other callers', { timeout: 60_000 }, async (t) => {
    const scheduler = 'longhaul-scheduler@project.iam.gserviceaccount.com';
    const stack = await startStack(t, { CLOUD_TASKS_SERVICE_ACCOUNT: email });
    const certsUrl = await startCerts(t, async () => stack.cloudTasks.jwks());
    const [receiver, dispatcher] = await Promise.all([
      startReceiver(t),
      stack.start('dispatcher', {
        CALLER_AUTH: 'verify',
        GOOGLE_CERTS_URL: certsUrl,
        SCHEDULER_SERVICE_ACCOUNT: scheduler,
      }),
      stack.start('api'),
      stack.start('worker'),
    ]);
    const post = async (path: string): Promise<number> =>
      (await fetch(`${dispatcher.url}${path}`, { method: 'POST' })).status;
    assert.equal(await post('/deliver'), 401);
    assert.equal(await post('/reconcile'), 401);
    assert.equal((await fetch(`${dispatcher.url}/health/ready`)).status, 200);

    const task = await stack.submit('Summarise this: The sea is rough. The sea is wide.', {
      configuration: { taskPushNotificationConfig: { id: 'one', url: receiver.url } },
    });
    await stack.until(task.id, isCompleted);
    await receiver.count(1);
  });
});
