/** `AUTH_MODES=google-oauth`: access tokens of Google accounts, which Google's tokeninfo is asked about. */
import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { createAuthenticate } from '#services/api/auth/authenticate.ts';
import { createGoogleTokenVerifier } from '#services/api/auth/google-oauth.ts';
import { UnauthenticatedError } from '#services/api/auth/errors.ts';
import { toSecurity } from '#services/api/auth/security.ts';
import { TooManyRequestsError, UnavailableError } from '#services/api/handler/errors.ts';
import { createAdmission } from '#services/api/limits/admission.ts';
import { AuthFailures } from '#services/api/limits/auth-failures.ts';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { listen } from '../../support/network/listen.ts';

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
  const failures = new Map<string, (response: ServerResponse) => void>();
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const token = new URLSearchParams(body).get('access_token');
      asked.push({ url: request.url ?? '', token });
      const fail = failures.get(token ?? '');
      if (fail !== undefined) return fail(response);
      const info = tokens.get(token ?? '');
      response.writeHead(info === undefined ? 400 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(info ?? { error: 'invalid_token', error_description: 'Invalid Value' }));
    });
  });
  const url = await listen(t, server);
  const env = {
    AUTH_MODES: 'google-oauth',
    GOOGLE_OAUTH_AUDIENCE: client,
    GOOGLE_TOKENINFO_URL: `${url}/tokeninfo`,
  };
  const config = readAuth(env);
  return {
    asked,
    config: config.googleOAuth!,
    authenticate: createAuthenticate(config),
    issue: (token: string, more: Record<string, string> = {}) => {
      const exp = String(Math.floor(Date.now() / 1000) + 3_600);
      tokens.set(token, { azp: client, aud: client, sub: '1122', exp, email: 'ada@example.com', ...more });
      return { authorization: `Bearer ${token}` };
    },
    drop: (name: string, token: string) => delete tokens.get(token)![name],
    fail: (token: string, answer: (response: ServerResponse) => void) => {
      failures.set(token, answer);
      return { authorization: `Bearer ${token}` };
    },
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
    await catchRefusal(google.authenticate({ authorization: 'Bearer eyJhbGci.bbbb.cccc' }));
    await catchRefusal(google.authenticate({ authorization: `Bearer ${'a'.repeat(5_000)}` }));
    await catchRefusal(google.authenticate({}));
    assert.deepEqual(google.asked, []);
  });

  test('may have three segments', async (t) => {
    const google = await startTokenInfo(t);
    for (const token of ['ya29.c.c0AY', 'ya29.d.c0AY']) await google.authenticate(google.issue(token));
    assert.equal(google.asked.length, 2);
  });

  test('fail alone, and are asked about again later', async (t) => {
    const google = await startTokenInfo(t);
    const exp = String(Math.floor(Date.now() / 1000) + 3_600);
    const large = { aud: client, sub: '1122', exp, padding: 'x'.repeat(64 * 1024) };
    const answers: [string, (response: ServerResponse) => void][] = [
      ...[403, 404, 429, 500, 503].map((status): [string, (response: ServerResponse) => void] => [
        String(status),
        (response) => response.writeHead(status).end('{}'),
      ]),
      ['redirect', (response) => response.writeHead(302, { location: '/other' }).end()],
      ['not JSON', (response) => response.end('<html>')],
      ['null', (response) => response.end('null')],
      ['closed', (response) => response.destroy()],
      ['too large', (response) => response.end(JSON.stringify(large))],
    ];
    for (const [name, answer] of answers) {
      const token = `ya29.${answers.findIndex(([known]) => known === name)}`;
      const headers = google.fail(token, answer);
      await assert.rejects(google.authenticate(headers), UnavailableError, name);
      await assert.rejects(google.authenticate(headers), UnavailableError, name);
      assert.equal(google.asked.filter((question) => question.token === token).length, 1, name);
      await google.authenticate(google.issue(`${token}-valid`));
    }
  });

  test('count as failed authentications if Google refuses them in any way', async (t) => {
    const google = await startTokenInfo(t);
    const log = createLogger('test', 'silent');
    const { authenticate } = google;
    const failures = new AuthFailures({ perMinute: 2, log });
    const admit = createAdmission({ authenticate, failures, buckets: undefined, log });
    const send = (status: number) =>
      admit(
        google.fail(`ya29.${status}`, (response) => response.writeHead(status).end()),
        () => '192.0.2.1',
      );
    for (const status of [429, 500, 503, 403, 404]) await assert.rejects(send(status), UnavailableError);
    await assert.rejects(send(403), TooManyRequestsError);
  });

  test('stay remembered while others are refused, the last used for longest', async (t) => {
    const google = await startTokenInfo(t);
    const verify = createGoogleTokenVerifier(google.config, 2);
    for (const token of ['ya29.a', 'ya29.b', 'ya29.c']) google.issue(token);
    for (const token of ['ya29.a', 'ya29.b', 'ya29.a']) await verify(token);
    for (const token of ['ya29.x', 'ya29.y', 'ya29.z']) await catchRefusal(verify(token));
    for (const token of ['ya29.c', 'ya29.a', 'ya29.b']) await verify(token);
    const asked = google.asked.map(({ token }) => token?.at(-1)).join(' ');
    assert.equal(asked, 'a b x y z c b');
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
