/** `AUTH_MODES=google-oauth`: access tokens of Google accounts, which Google's tokeninfo is asked about. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { createAuthenticate } from '#services/api/auth/authenticate.ts';
import { UnauthenticatedError } from '#services/api/auth/errors.ts';
import { toSecurity } from '#services/api/auth/security.ts';
import { UnavailableError } from '#services/api/handler/errors.ts';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';
import { listen } from '../../support/listen.ts';

const client = '1234.apps.googleusercontent.com';

function readAuth(env: Record<string, string>) {
  return readApiConfig({
    DATABASE_URL: 'postgres://localhost/none',
    GOOGLE_CLOUD_PROJECT: 'p',
    DISPATCHER_URL: 'http://localhost:1',
    ENCRYPTION_KEYS: `k:${Buffer.alloc(32).toString('base64')}`,
    ...env,
  }).auth;
}

/** Answers as https://oauth2.googleapis.com/tokeninfo does, where every value is a text. */
async function startTokenInfo(t: TestContext) {
  const tokens = new Map<string, Record<string, string>>();
  const asked: { url: string; token: string | null }[] = [];
  let status = 200;
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const token = new URLSearchParams(body).get('access_token');
      asked.push({ url: request.url ?? '', token });
      const info = tokens.get(token ?? '');
      response.writeHead(status === 200 && info === undefined ? 400 : status, {
        'content-type': 'application/json',
      });
      response.end(JSON.stringify(info ?? { error: 'invalid_token', error_description: 'Invalid Value' }));
    });
  });
  const url = await listen(t, server);
  const env = {
    AUTH_MODES: 'google-oauth',
    GOOGLE_OAUTH_AUDIENCE: client,
    GOOGLE_TOKENINFO_URL: `${url}/tokeninfo`,
  };
  return {
    asked,
    authenticate: createAuthenticate(readAuth(env)),
    issue: (token: string, more: Record<string, string> = {}) => {
      const exp = String(Math.floor(Date.now() / 1000) + 3_600);
      tokens.set(token, { azp: client, aud: client, sub: '1122', exp, email: 'ada@example.com', ...more });
      return { authorization: `Bearer ${token}` };
    },
    drop: (name: string, token: string) => delete tokens.get(token)![name],
    answer: (next: number) => (status = next),
  };
}

async function catchRefusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => assert.fail('the caller was accepted'),
    (caught: unknown) => caught,
  );
  assert.ok(error instanceof UnauthenticatedError, String(error));
  return error.message;
}

describe('access tokens of Google accounts', () => {
  test('name their owner by account, and are asked about once', async (t) => {
    const google = await startTokenInfo(t);
    const headers = google.issue('ya29.opaque');
    const callers = await Promise.all([google.authenticate(headers), google.authenticate(headers)]);
    callers.push(await google.authenticate(headers));
    assert.deepEqual(
      new Set(callers.map(({ userName }) => userName)),
      new Set(['https://accounts.google.com|1122']),
    );
    assert.deepEqual(google.asked, [{ url: '/tokeninfo', token: 'ya29.opaque' }], 'the address has no token');
    const other = await google.authenticate(google.issue('ya29.other', { sub: '3344' }));
    assert.equal(other.userName, 'https://accounts.google.com|3344');
  });

  test('are refused for another application, without an account, expired or unknown', async (t) => {
    const google = await startTokenInfo(t);
    const noAccount = google.issue('ya29.no-account');
    google.drop('sub', 'ya29.no-account');
    for (const [headers, expected] of [
      [google.issue('ya29.other-app', { aud: 'other' }), /issued to another application/],
      [noAccount, /request the scope openid/],
      [google.issue('ya29.expired', { exp: '1000' }), /has expired/],
      [{ authorization: 'Bearer ya29.unknown' }, /unknown to Google/],
    ] as const) {
      const message = await catchRefusal(google.authenticate(headers));
      assert.match(message, expected);
      assert.doesNotMatch(message, /ya29/);
    }
    await catchRefusal(google.authenticate({ authorization: 'Bearer ya29.unknown' }));
    assert.equal(google.asked.length, 4, 'a refusal is remembered');
  });

  test('are not mistaken for identity tokens, which are sent to no one', async (t) => {
    const google = await startTokenInfo(t);
    await catchRefusal(google.authenticate({ authorization: 'Bearer aaaa.bbbb.cccc' }));
    await catchRefusal(google.authenticate({ authorization: `Bearer ${'a'.repeat(5_000)}` }));
    await catchRefusal(google.authenticate({}));
    assert.deepEqual(google.asked, []);
  });

  test('cannot be verified while Google does not answer, unless they are remembered', async (t) => {
    const google = await startTokenInfo(t);
    const known = google.issue('ya29.known');
    await google.authenticate(known);
    google.answer(500);
    await assert.rejects(google.authenticate(google.issue('ya29.new')), UnavailableError);
    await assert.rejects(google.authenticate(google.issue('ya29.newer')), UnavailableError);
    assert.equal(google.asked.length, 2);
    await google.authenticate(known);
  });

  test('need an audience, and are declared by the agent card', () => {
    const env = { AUTH_MODES: 'google-oauth', GOOGLE_OAUTH_AUDIENCE: client };
    const { securitySchemes } = toSecurity(readAuth(env));
    assert.deepEqual(Object.keys(securitySchemes), ['googleOAuth']);
    for (const [more, expected] of [
      [{ GOOGLE_OAUTH_AUDIENCE: '' }, /GOOGLE_OAUTH_AUDIENCE is not set/],
      [{ GOOGLE_TOKENINFO_URL: 'http://example.com' }, /GOOGLE_TOKENINFO_URL must be https/],
      [{ AUTH_MODES: 'google-oauth,jwt' }, /must not combine jwt and google-oauth/],
    ] as const) {
      assert.throws(
        () => readAuth({ ...env, ...more }),
        (error) => error instanceof ConfigError && expected.test(error.problems.join()),
      );
    }
  });
});
