/** Tokens of callers: those of an issuer, whose keys the api fetches, and those that Cloud Run has verified. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import { describe, test } from 'node:test';
import { SignJWT, UnsecuredJWT } from 'jose';
import { createAuthenticate } from '#services/api/auth/authenticate.ts';
import { UnavailableError } from '#services/api/handler/errors.ts';
import { startApiServer } from '../../support/services/api-server.ts';
import { audience, catchRefusal, readAuthConfig, toBearer } from '../../support/services/authentication.ts';
import { startIssuer } from '../../support/fakes/issuer.ts';
import { listen } from '../../support/network/listen.ts';

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
