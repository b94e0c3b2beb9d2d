/**
 * Authentication: accepted credentials, refusals, and error messages that reveal no credential.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { createAuthenticate } from '#services/api/auth/authenticate.ts';
import { toSecurity } from '#services/api/auth/security.ts';
import { sha256 } from '../../support/services/api-keys.ts';
import {
  audience,
  base,
  catchRefusal,
  readAuthConfig,
  toBearer,
} from '../../support/services/authentication.ts';
import { startIssuer } from '../../support/fakes/issuer.ts';
import { writeTempFile } from '../../support/temp-dir.ts';

function getProblems(env: Record<string, string>): string {
  try {
    readApiConfig({ ...base, ...env });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.join('\n');
    throw error;
  }
  return '';
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
