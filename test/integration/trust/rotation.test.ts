/**
 * Keys are replaced while requests run, in the steps of docs/operate/deploy.md, and every request is accepted. The drills of keys for
 * webhooks are in test/integration/webhooks/signature.test.ts.
 */
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { before, describe, mock, test, type TestContext } from 'node:test';
import { createLocalJWKSet, flattenedVerify, type JSONWebKeySet } from 'jose';
import { toCanonicalJson } from '#shared/agent/canonical-hash.ts';
import { parseCardKeys } from '#shared/crypto/card-keys.ts';
import { parseEncryptionKeys, type EncryptionKeys } from '#shared/crypto/encryption.ts';
import { createCardSigner } from '#services/api/card/signature.ts';
import { PageTokens } from '#services/api/handler/page-token.ts';
import { sha256 } from '../../support/services/api-keys.ts';
import { startApiService, type TestApiService } from '../../support/services/api-service.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { startIssuer, type Issuer } from '../../support/fakes/issuer.ts';
import { writeTempFile } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';

const entry = (key: string): string => `ada:${sha256(key)}\n`;
const createGeminiSecret = (): string => `whsec_${randomBytes(24).toString('base64')}`;

/** Calls in a few lanes until `stop`. */
function startCalls(call: () => Promise<number>, expected: number) {
  const lanes = 3;
  const done = Array.from({ length: lanes }, () => 0);
  const wrong: unknown[] = [];
  const stop = new AbortController();
  const running = done.map(async (_none, lane) => {
    while (!stop.signal.aborted && wrong.length === 0) {
      const status = await call().catch((error: unknown) => error);
      if (status !== expected) wrong.push(status);
      done[lane]! += 1;
    }
  });
  return {
    /** Resolves when each lane has started and ended calls since now. */
    pass: async () => {
      const from = [...done];
      const hasPassed = () => wrong.length > 0 || done.every((count, lane) => count >= from[lane]! + 2);
      await waitFor('more calls', hasPassed);
    },
    stop: async () => {
      stop.abort();
      await Promise.all(running);
      assert.deepEqual(wrong, []);
    },
  };
}

/** The clock by which jose decides when to fetch keys again. */
function startClock(t: TestContext): (ms: number) => void {
  mock.timers.enable({ apis: ['Date'], now: Date.now() });
  t.after(() => mock.timers.reset());
  return (ms) => mock.timers.tick(ms);
}

describe('no request is refused while a key is replaced', () => {
  const cleanup = createSuiteCleanup();
  let api: TestApiService;
  let issuer: Issuer;
  let google: Issuer;
  let keysFile: string;
  let secretsFile: string;
  const [oldSecret, newSecret] = [createGeminiSecret(), createGeminiSecret()];
  before(async () => {
    [issuer, google] = await Promise.all([startIssuer(cleanup), startIssuer(cleanup, 'RS256')]);
    keysFile = writeTempFile(cleanup, 'keys', entry('old'));
    secretsFile = writeTempFile(cleanup, 'secrets', oldSecret);
    api = await startApiService(cleanup, {
      AUTH_MODES: 'api-key,jwt',
      API_KEYS_FILE: keysFile,
      JWT_ISSUER: issuer.url,
      JWT_AUDIENCE: 'https://agent.example',
      GEMINI_WEBHOOK_JWKS_URL: `${google.url}/keys`,
      GEMINI_WEBHOOK_AUDIENCE: 'webhooks',
      GEMINI_WEBHOOK_SECRETS_FILE: secretsFile,
      AUTH_FAILURES_PER_MINUTE: '0',
      RATE_LIMIT_PER_MINUTE: '0',
      SECRETS_REFRESH_SECONDS: '0.02',
    });
  });

  async function getStatus(path: string, init: RequestInit): Promise<number> {
    const response = await fetch(api.url + path, init);
    await response.arrayBuffer();
    return response.status;
  }

  const read = (headers: Record<string, string>): Promise<number> =>
    getStatus('/a2a/v1/stats', { headers: { 'a2a-version': '1.0', ...headers } });

  /** Sends a report of Gemini with the headers of Standard Webhooks. */
  async function report(path: string, sign: (timestamp: string, body: string) => string | Promise<string>) {
    const body = JSON.stringify({ type: 'interaction.completed', data: { id: 'i' } });
    const timestamp = String(Math.floor(Date.now() / 1000));
    const headers = { 'webhook-id': 'm', 'webhook-timestamp': timestamp };
    const signature = await sign(timestamp, body);
    return getStatus(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers, 'webhook-signature': signature },
      body,
    });
  }

  test('of a caller', async () => {
    const readWith = (key: string): Promise<number> => read({ 'x-api-key': key });
    let key = 'old';
    const calls = startCalls(() => readWith(key), 200);
    await calls.pass();
    writeFileSync(keysFile, entry('old') + entry('new'));
    await waitFor('the new key', async () => (await readWith('new')) === 200);
    key = 'new';
    await calls.pass();
    writeFileSync(keysFile, entry('new'));
    await waitFor('the end of the old key', async () => (await readWith('old')) === 401);
    await calls.pass();
    await calls.stop();
  });

  test('of an issuer of tokens', async (t) => {
    const tick = startClock(t);
    const readWith = async (kid: string): Promise<number> =>
      read({ authorization: `Bearer ${await issuer.createToken({}, { kid })}` });
    let kid = 'k1';
    const calls = startCalls(() => readWith(kid), 200);
    await calls.pass();
    await issuer.addKey('k2');
    // An unknown key is fetched at most every 30 s: issuers publish a key earlier than they sign with it.
    tick(30_000);
    kid = 'k2';
    await calls.pass();
    issuer.removeKey('k1');
    // Keys are fetched again after ten minutes.
    tick(600_000);
    await calls.pass();
    await calls.stop();
    assert.equal(await readWith('k1'), 401);
  });

  test('of Google for calls of a model', async (t) => {
    const tick = startClock(t);
    // A webhook that verifies and belongs to no call gets 404.
    const reportWith = (kid: string): Promise<number> =>
      report('/gemini/webhooks/token', () => google.createToken({ aud: 'webhooks' }, { kid }));
    let kid = 'k1';
    const calls = startCalls(() => reportWith(kid), 404);
    await calls.pass();
    await google.addKey('k2');
    tick(30_000);
    kid = 'k2';
    await calls.pass();
    google.removeKey('k1');
    await calls.pass();
    await calls.stop();
    assert.equal(await report('/gemini/webhooks/token', () => 'forged'), 401);
  });

  test('of webhooks that are registered at Gemini', async () => {
    const reportWith = (secret: string): Promise<number> =>
      report('/gemini/webhooks', (timestamp, body) => {
        const key = Buffer.from(secret.slice(6), 'base64');
        return `v1,${createHmac('sha256', key).update(`m.${timestamp}.${body}`).digest('base64')}`;
      });
    let secret = oldSecret;
    const calls = startCalls(() => reportWith(secret), 200);
    await calls.pass();
    writeFileSync(secretsFile, `${oldSecret}\n${newSecret}`);
    await waitFor('the new secret', async () => (await reportWith(newSecret)) === 200);
    secret = newSecret;
    await calls.pass();
    writeFileSync(secretsFile, newSecret);
    await waitFor('the end of the old secret', async () => (await reportWith(oldSecret)) === 401);
    await calls.pass();
    await calls.stop();
  });
});

describe('two processes of the api, one a step ahead, accept', () => {
  const createKey = (id: string): EncryptionKeys =>
    parseEncryptionKeys(`${id}:${randomBytes(32).toString('base64')}`).keys;
  const [[old], [next]] = [createKey('old'), createKey('next')];

  test("each other's page tokens", () => {
    const steps: EncryptionKeys[] = [[old], [old, next], [next, old], [next]];
    const processes = steps.map((keys) => new PageTokens(keys));
    for (const [index, ahead] of processes.entries()) {
      const behind = processes[Math.max(0, index - 1)]!;
      const place = ['2030', 'id', index];
      assert.deepEqual(behind.verifyPlace(ahead.signPlace(place, 'query'), 'query'), place);
      assert.deepEqual(ahead.verifyPlace(behind.signPlace(place, 'query'), 'query'), place);
      // The keys of a process that runs are replaced as well.
      processes[0]!.useKeys(steps[index]!);
      assert.deepEqual(processes[0]!.verifyPlace(ahead.signPlace(place, 'query'), 'query'), place);
      processes[0]!.useKeys([old]);
    }
    assert.throws(() => processes[0]!.verifyPlace(processes[3]!.signPlace([], 'q'), 'q'), /is not valid/);
  });

  test("the signature of each other's cards", async () => {
    const [oldJwk, nextJwk] = ['old', 'next'].map((kid) => ({
      ...generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }),
      kid,
    }));
    const values = [oldJwk, { keys: [oldJwk, nextJwk] }, { keys: [nextJwk, oldJwk] }, nextJwk];
    const signers = await Promise.all(
      values.map((value) =>
        createCardSigner(parseCardKeys(JSON.stringify(value)) ?? [], 'https://a.example'),
      ),
    );
    const card = { name: 'an agent' };
    const payload = Buffer.from(toCanonicalJson(card));
    for (const [index, ahead] of signers.entries()) {
      const behind = signers[Math.max(0, index - 1)]!;
      for (const [signer, keys] of [
        [ahead, behind],
        [behind, ahead],
      ] as const) {
        const jws = (await signer.signJson(card)) as { protected: string; signature: string };
        const published = createLocalJWKSet({ keys: keys.publicKeys } as JSONWebKeySet);
        await flattenedVerify({ ...jws, payload: payload.toString('base64url') }, published);
        assert.ok(keys.publicKeys.every((key) => !('d' in key)));
      }
    }
  });
});
