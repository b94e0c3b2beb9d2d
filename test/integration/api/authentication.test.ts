/**
 * Authentication: accepted credentials, refusals, and error messages that reveal no credential.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import { describe, test } from 'node:test';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { createLogger } from '#shared/runtime/log.ts';
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import { SignJWT, UnsecuredJWT } from 'jose';
import { createAdmission } from '#services/api/limits/admission.ts';
import { AuthFailures } from '#services/api/limits/auth-failures.ts';
import { createAuthenticate } from '#services/api/auth/authenticate.ts';
import { toSecurity } from '#services/api/auth/security.ts';
import { UnauthenticatedError } from '#services/api/auth/errors.ts';
import { TooManyRequestsError, UnavailableError } from '#services/api/handler/errors.ts';
import { TokenBuckets } from '#services/api/limits/token-buckets.ts';
import { sha256 } from '../../support/services/api-keys.ts';
import { startApiServer } from '../../support/services/api-server.ts';
import { startIssuer } from '../../support/fakes/issuer.ts';
import { listen } from '../../support/network/listen.ts';
import { writeTempFile } from '../../support/temp-dir.ts';

const base = {
  DATABASE_URL: 'postgres://localhost/none',
  GOOGLE_CLOUD_PROJECT: 'p',
  DISPATCHER_URL: 'http://localhost:1',
  ENCRYPTION_KEYS: `k:${Buffer.alloc(32).toString('base64')}`,
};
const audience = 'https://agent.example';

function readAuthConfig(env: Record<string, string>): AuthConfig {
  return readApiConfig({ ...base, ...env }).auth;
}

function toBearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}

function getProblems(env: Record<string, string>): string {
  try {
    readApiConfig({ ...base, ...env });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.join('\n');
    throw error;
  }
  return '';
}

async function catchRefusal(promise: Promise<unknown>): Promise<UnauthenticatedError> {
  const error = await promise.then(
    () => assert.fail('the caller was accepted'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof UnauthenticatedError, String(error));
  return error;
}

describe('API keys and no authentication', () => {
  test('assigns the same empty name to all callers when authentication is off', async () => {
    const caller = await createAuthenticate(readAuthConfig({}))({ 'x-api-key': 'whatever' });
    assert.equal(caller.userName, '');
    assert.equal(caller.isAuthenticated, false);
  });

  const keys = `# rotated in May\nalice:${sha256('old')}:old\nalice:${sha256('new')}:new\n\nbob:${sha256('bobs')}\n`;

  test('maps several API keys of an owner to one caller', async (t) => {
    const file = writeTempFile(t, 'keys', keys);
    const authenticate = createAuthenticate(readAuthConfig({ AUTH_MODES: 'api-key', API_KEYS_FILE: file }));
    const [old, renewed] = [
      await authenticate({ 'x-api-key': 'old' }),
      await authenticate({ 'x-api-key': ['new'] }),
    ];
    assert.deepEqual([old.userName, renewed.userName], ['key:alice', 'key:alice']);
    assert.deepEqual([old.keyLabel, renewed.keyLabel], ['old', 'new']);
    assert.equal((await authenticate({ 'x-api-key': 'bobs' })).userName, 'key:bob');
  });

  test('refuses unknown, empty, repeated and missing API keys without quoting them', async (t) => {
    const file = writeTempFile(t, 'keys', keys);
    const authenticate = createAuthenticate(readAuthConfig({ AUTH_MODES: 'api-key', API_KEYS_FILE: file }));
    for (const headers of [
      { 'x-api-key': 'guess' },
      { 'x-api-key': '' },
      { 'x-api-key': ['old', 'new'] },
      {},
    ]) {
      const error = await catchRefusal(authenticate(headers));
      assert.deepEqual(error.challenges, ['ApiKey realm="a2a", header="x-api-key"']);
      assert.doesNotMatch(error.message, /guess/);
    }
  });
});

describe('bearer tokens', () => {
  test('verifies tokens with the keys of their issuer, which are fetched once', async (t) => {
    const [es, rs, ed] = await Promise.all([
      startIssuer(t),
      startIssuer(t, 'RS256'),
      startIssuer(t, 'EdDSA'),
    ]);
    const issuers = [
      { issuer: es.url, audience },
      { issuer: rs.url, audience: [audience, 'other'] },
      { issuer: ed.url, audience, jwksUrl: `${ed.url}/keys` },
    ];
    const authenticate = createAuthenticate(
      readAuthConfig({ AUTH_MODES: 'jwt', JWT_ISSUERS: JSON.stringify(issuers) }),
    );
    for (const issuer of [es, rs, ed]) {
      const tokens = await Promise.all([1, 2, 3].map(() => issuer.createToken({})));
      for (const caller of await Promise.all(tokens.map((token) => authenticate(toBearer(token))))) {
        assert.equal(caller.userName, `${issuer.url}|alice`);
        assert.equal(caller.issuer, issuer.url);
      }
      assert.equal(issuer.fetched.get('/keys'), 1);
    }
    assert.equal(ed.fetched.get('/.well-known/openid-configuration'), undefined);
  });

  test('refuses every invalid token without quoting it', async (t) => {
    const [issuer, stranger] = await Promise.all([startIssuer(t), startIssuer(t)]);
    const authenticate = createAuthenticate(
      readAuthConfig({ AUTH_MODES: 'jwt', JWT_ISSUER: issuer.url, JWT_AUDIENCE: audience }),
    );
    const good = await issuer.createToken({});
    const [head = '', body = '', signature = ''] = good.split('.');
    const forged = Buffer.from(JSON.stringify({ iss: issuer.url, aud: audience, sub: 'root', exp: 4e9 }));
    const hmac = new SignJWT({ iss: issuer.url, aud: audience, sub: 'alice' })
      .setProtectedHeader({ alg: 'HS256', kid: 'k1' })
      .setExpirationTime('5m')
      .sign(new TextEncoder().encode('x'.repeat(32)));
    const invalid: [string, string, RegExp][] = [
      ['expired', await issuer.createToken({}, { expiresIn: Math.floor(Date.now() / 1000) - 31 }), /expired/],
      ['other audience', await issuer.createToken({ aud: 'https://other.example' }), /aud/],
      ['no subject', await issuer.createToken({ sub: undefined }), /sub/],
      ['subject with a control character', await issuer.createToken({ sub: 'a\u0000b' }), /sub/],
      ['unknown issuer', await stranger.createToken({}), /not trusted/],
      ['keys of a stranger', await stranger.createToken({ iss: issuer.url }), /signature/],
      ['unknown key', await issuer.createToken({}, { kid: 'k2' }), /signature/],
      ['not signed', new UnsecuredJWT({ iss: issuer.url, sub: 'alice', aud: audience }).encode(), /./],
      ['symmetric', await hmac, /signing algorithm/],
      ['changed', `${head}.${forged.toString('base64url')}.${signature}`, /signature/],
      ['cut off', `${head}.${body}`, /./],
      ['not a token', 'secret-of-somebody', /not a JWT/],
    ];
    for (const [what, token, message] of invalid) {
      const error = await catchRefusal(authenticate(toBearer(token)));
      assert.match(error.message, message, what);
      assert.ok(!error.message.includes(token) && !error.message.includes('secret'), what);
      assert.deepEqual(error.challenges, ['Bearer realm="a2a"'], what);
    }
    await catchRefusal(authenticate({ authorization: `Basic ${good}` }));
    // During the cooldown the unknown keys have led to one refetch, not to one each.
    assert.ok((issuer.fetched.get('/keys') ?? 0) <= 2, `${issuer.fetched.get('/keys')} fetches`);
  });

  test('accepts a token that expired within the tolerated clock skew', async (t) => {
    const issuer = await startIssuer(t);
    const authenticate = createAuthenticate(
      readAuthConfig({ AUTH_MODES: 'jwt', JWT_ISSUER: issuer.url, JWT_AUDIENCE: audience }),
    );
    const skewed = await issuer.createToken({}, { expiresIn: Math.floor(Date.now() / 1000) - 10 });
    assert.equal((await authenticate(toBearer(skewed))).isAuthenticated, true);
  });

  test('accepts the scheme of a bearer token in lower case', async (t) => {
    const issuer = await startIssuer(t);
    const authenticate = createAuthenticate(
      readAuthConfig({ AUTH_MODES: 'jwt', JWT_ISSUER: issuer.url, JWT_AUDIENCE: audience }),
    );
    const token = await issuer.createToken({});
    assert.equal((await authenticate({ authorization: `bearer ${token}` })).isAuthenticated, true);
  });

  test('reads a discovery document that is not valid once in a while', async (t) => {
    let fetches = 0;
    const server = createServer((_request, response) => {
      fetches += 1;
      response.setHeader('content-type', 'application/json').end('{"issuer":"https://other.example"}');
    });
    const url = await listen(t, server);
    const authenticate = createAuthenticate(
      readAuthConfig({ AUTH_MODES: 'jwt', JWT_ISSUER: url, JWT_AUDIENCE: audience }),
    );
    const issuer = await startIssuer(t);
    const token = await issuer.createToken({ iss: url });
    for (let i = 0; i < 5; i += 1) await assert.rejects(authenticate(toBearer(token)), UnavailableError);
    assert.equal(fetches, 1);
  });

  test('fails with a retryable error, on every call, when the issuer is unavailable', async (t) => {
    const issuer = await startIssuer(t);
    const authenticate = createAuthenticate({
      apiKeys: undefined,
      jwt: [{ issuer: issuer.url, audience: [audience], jwksUrl: `${issuer.url}/nothing-here` }],
      cloudRunIam: undefined,
      operators: [],
    });
    await assert.rejects(authenticate(toBearer(await issuer.createToken({}))), UnavailableError);
    const closed = { issuer: 'http://127.0.0.1:9', audience: [audience], jwksUrl: undefined };
    const other = createAuthenticate({
      apiKeys: undefined,
      jwt: [closed],
      cloudRunIam: undefined,
      operators: [],
    });
    const token = await issuer.createToken({ iss: closed.issuer });
    await assert.rejects(other(toBearer(token)), UnavailableError);
    await assert.rejects(other(toBearer(token)), UnavailableError);
  });
});

describe('Cloud Run IAM', () => {
  const authenticate = createAuthenticate(
    readAuthConfig({ AUTH_MODES: 'cloud-run-iam', CLOUD_RUN_AUDIENCE: `${audience},https://second.example` }),
  );
  const exp = Math.floor(Date.now() / 1000) + 60;
  const stripSignature = (claims: object): string => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}.SIGNATURE_REMOVED_BY_GOOGLE`;
  };
  const valid = { iss: 'https://accounts.google.com', aud: audience, sub: '1234', exp };

  test('trusts the claims of a token without a signature', async () => {
    const name = 'https://accounts.google.com|1234';
    assert.equal((await authenticate(toBearer(stripSignature(valid)))).userName, name);
    assert.equal(
      (
        await authenticate({
          ...toBearer('of-another-caller'),
          'x-serverless-authorization': `Bearer ${stripSignature({ ...valid, aud: 'https://second.example' })}`,
        })
      ).userName,
      name,
      'Cloud Run verifies only the second header',
    );
  });

  test('lets X-Serverless-Authorization alone decide, in any form', async () => {
    const forged = toBearer(stripSignature({ ...valid, sub: 'victim' }));
    const own = stripSignature(valid);
    const forms = [
      '',
      own,
      `Bearer ${own}, Bearer ${own}`,
      `Bearer\t${own}`,
      `Bearer ${own},`,
      `Basic ${own}`,
    ];
    for (const form of [...forms, [`Bearer ${own}`, `Bearer ${own}`], []]) {
      await catchRefusal(authenticate({ ...forged, 'x-serverless-authorization': form }));
    }
    assert.equal(
      (await authenticate({ ...forged, 'x-serverless-authorization': `bearer ${own} ` })).userName,
      'https://accounts.google.com|1234',
    );
  });

  test('refuses a header Authorization that is sent twice', async (t) => {
    const api = await startApiServer(
      t,
      {},
      { auth: readAuthConfig({ AUTH_MODES: 'cloud-run-iam', CLOUD_RUN_AUDIENCE: audience }) },
    );
    const one = `Bearer ${stripSignature(valid)}`;
    const getStatus = async (...values: string[]): Promise<number | undefined> => {
      const headers = ['Host', 'localhost', ...values.flatMap((value) => ['Authorization', value])];
      const [response] = (await once(get(`${api.url}/a2a/v1/tasks/none`, { headers }), 'response')) as [
        IncomingMessage,
      ];
      response.resume();
      return response.statusCode;
    };
    assert.notEqual(await getStatus(one), 401);
    assert.equal(await getStatus(one, `Bearer ${stripSignature({ ...valid, sub: 'victim' })}`), 401);
  });

  test('still checks issuer, audience, expiry, email, form and subject', async () => {
    const without = ({ exp: _exp, ...claims }: typeof valid) => claims;
    const token = stripSignature(valid);
    for (const form of [
      token.replace(/\w+$/, 'signed'),
      token.replace(/\.\w+$/, ''),
      `${token}.x`,
      'x.y.z',
    ]) {
      await catchRefusal(authenticate(toBearer(form)));
    }
    await authenticate(toBearer(stripSignature({ ...valid, email: 'a@b.c', email_verified: true })));
    for (const claims of [
      { ...valid, iss: 'https://evil.example' },
      { ...valid, aud: 'https://evil.example' },
      { ...valid, exp: exp - 60 - 31 },
      without(valid),
      { ...valid, aud: [audience, 'https://evil.example'] },
      { ...valid, nbf: exp + 60 },
      { ...valid, iat: exp + 60 },
      { ...valid, email: 'a@b.c' },
      { ...valid, email: 'a@b.c', email_verified: false },
      { ...valid, sub: '' },
    ]) {
      await catchRefusal(authenticate(toBearer(stripSignature(claims))));
    }
    await catchRefusal(authenticate({}));
  });
});

describe('several modes', () => {
  test('refuses a wrong API key even if a valid token is sent too', async (t) => {
    const issuer = await startIssuer(t);
    const authenticate = createAuthenticate(
      readAuthConfig({
        AUTH_MODES: 'api-key, jwt',
        API_KEYS: `alice:${sha256('alices')}`,
        JWT_ISSUER: issuer.url,
        JWT_AUDIENCE: audience,
      }),
    );
    const token = await issuer.createToken({});
    assert.equal((await authenticate(toBearer(token))).userName, `${issuer.url}|alice`);
    assert.equal((await authenticate({ 'x-api-key': 'alices' })).userName, 'key:alice');
    await catchRefusal(authenticate({ ...toBearer(token), 'x-api-key': 'wrong' }));
    const error = await catchRefusal(authenticate({}));
    assert.equal(error.challenges.length, 2);
    assert.match(error.message, /x-api-key or a token/);
  });

  test('refuses a configuration that would weaken authentication by mistake', () => {
    const issuer = { JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'a' };
    for (const [env, problem] of [
      [{ AUTH_MODES: 'nobody' }, /not "nobody"/],
      [{ AUTH_MODES: 'none,jwt', ...issuer }, /must not combine none/],
      [{ AUTH_MODES: 'jwt,cloud-run-iam', ...issuer, CLOUD_RUN_AUDIENCE: 'a' }, /same header/],
      [{ AUTH_MODES: 'api-key' }, /at least one entry in API_KEYS/],
      [{ AUTH_MODES: 'api-key', API_KEYS: 'alice:in-the-clear' }, /entry 1 .* SHA-256/],
      [
        { AUTH_MODES: 'api-key', API_KEYS_FILE: '/does/not/exist' },
        /API_KEYS_FILE must be the path of a readable file/,
      ],
      [{ AUTH_MODES: 'api-key', API_KEYS: `a:${sha256('x')},b:${sha256('x')}` }, /twice/],
      [{ AUTH_MODES: 'jwt', JWT_ISSUER: 'https://issuer.example' }, /JWT_AUDIENCE is not set/],
      [{ AUTH_MODES: 'jwt', JWT_AUDIENCE: 'a' }, /JWT_ISSUER is not set/],
      [{ AUTH_MODES: 'jwt', JWT_ISSUER: 'http://issuer.example', JWT_AUDIENCE: 'a' }, /must be https/],
      [{ AUTH_MODES: 'jwt', JWT_ISSUERS: '[{"issuer":"https://a.example"}]' }, /JSON array such as/],
      [{ AUTH_MODES: 'jwt', JWT_ISSUERS: '[]', ...issuer }, /JWT_ISSUERS are both set/],
      [{ AUTH_MODES: 'cloud-run-iam' }, /CLOUD_RUN_AUDIENCE is not set/],
    ] as const) {
      assert.match(getProblems(env), problem);
    }
    assert.doesNotMatch(
      getProblems({ AUTH_MODES: 'api-key', API_KEYS: 'alice:in-the-clear' }),
      /in-the-clear/,
    );
  });

  test('lists the accepted security schemes in the card', () => {
    const env = {
      AUTH_MODES: 'api-key,jwt',
      API_KEYS: `a:${sha256('x')}`,
      JWT_ISSUERS: JSON.stringify([
        { issuer: 'https://one.example/', audience },
        { issuer: 'https://two.example', audience, jwksUrl: 'https://two.example/k' },
      ]),
    };
    const { securitySchemes, securityRequirements } = toSecurity(readAuthConfig(env));
    assert.deepEqual(Object.keys(securitySchemes), ['apiKey', 'oidc', 'oidc2']);
    assert.match(JSON.stringify(securitySchemes['oidc']), /one\.example\/\.well-known\/openid-configuration/);
    assert.match(JSON.stringify(securitySchemes['oidc2']), /Bearer/);
    assert.deepEqual(securityRequirements[2], { schemes: { oidc2: { list: [] } } });
    assert.deepEqual(toSecurity(readAuthConfig({})), { securitySchemes: {}, securityRequirements: [] });
  });
});

describe('rate limits', () => {
  const log = createLogger('test', 'silent');
  const failures = new AuthFailures({ perMinute: 0, log });

  test('limits each caller separately', async () => {
    let now = 0;
    const buckets = new TokenBuckets(60, () => now);
    const admit = createAdmission({
      authenticate: createAuthenticate(
        readAuthConfig({ AUTH_MODES: 'api-key', API_KEYS: `a:${sha256('a')},b:${sha256('b')}` }),
      ),
      failures,
      buckets,
      log,
    });
    const call = (key: string) => admit({ 'x-api-key': key }, () => '192.0.2.1');
    for (let i = 0; i < 60; i += 1) await call('a');
    await assert.rejects(
      call('a'),
      (error) => error instanceof TooManyRequestsError && error.retryAfterSeconds === 1,
    );
    await call('b');
    now += 999;
    await assert.rejects(call('a'), TooManyRequestsError);
    now += 2;
    await call('a');
    await assert.rejects(call('a'), TooManyRequestsError);
  });

  test('limits callers without a name by address', async () => {
    const admit = createAdmission({
      authenticate: createAuthenticate(readAuthConfig({})),
      failures,
      buckets: new TokenBuckets(1),
      log,
    });
    await admit({}, () => '192.0.2.1');
    await admit({}, () => '192.0.2.2');
    await assert.rejects(
      admit({}, () => '192.0.2.1'),
      (error) => error instanceof TooManyRequestsError && error.retryAfterSeconds > 50,
    );
  });
});
