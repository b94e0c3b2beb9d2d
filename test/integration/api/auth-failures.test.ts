/** Failed authentications: their limit by address, and their summary in the log. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createLogger, type Logger } from '#shared/runtime/log.ts';
import { createAuthenticate } from '#services/api/auth/authenticate.ts';
import { UnauthenticatedError } from '#services/api/auth/errors.ts';
import { TooManyRequestsError, UnavailableError } from '#services/api/handler/errors.ts';
import { createAdmission, type Admit } from '#services/api/limits/admission.ts';
import { AuthFailures } from '#services/api/limits/auth-failures.ts';
import { createKeyEntry } from '../../support/services/api-keys.ts';
import { startIssuer } from '../../support/fakes/issuer.ts';
import { createLineLog } from '../../support/processes/log-lines.ts';

const silent = createLogger('test', 'silent');

function createTestAdmission(
  perMinute: number,
  log: Logger = silent,
  holdMs = 0,
): { admit: Admit; failures: AuthFailures } {
  const failures = new AuthFailures({ perMinute, holdMs, log });
  const apiKeys = ['alice', 'bob'].map((owner) => createKeyEntry(owner, owner));
  const authenticate = createAuthenticate({ apiKeys, jwt: undefined, cloudRunIam: undefined, operators: [] });
  return { failures, admit: createAdmission({ authenticate, failures, buckets: undefined, log }) };
}

describe('failed authentications', () => {
  const from = (address: string) => () => address;
  const attacker = from('192.0.2.1');

  async function fail(admit: Admit, count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      await assert.rejects(admit({ 'x-api-key': `guess ${i}` }, attacker), UnauthenticatedError);
    }
  }

  test('refuses an address over the limit without verifying its credentials', async () => {
    const { admit } = createTestAdmission(3);
    await fail(admit, 3);
    for (const key of ['guess', 'alice']) {
      await assert.rejects(
        admit({ 'x-api-key': key }, attacker),
        (error) => error instanceof TooManyRequestsError && error.retryAfterSeconds > 10,
        key,
      );
    }
  });

  test('refuses without capturing a stack', async () => {
    const { admit } = createTestAdmission(1);
    await fail(admit, 1);
    await assert.rejects(admit({}, attacker), { stack: /^TooManyRequestsError: [^\n]*$|^Error: [^\n]*$/ });
    assert.match(new Error('other').stack ?? '', /\n/);
  });

  test('admits callers of other addresses', async () => {
    const { admit } = createTestAdmission(3);
    await fail(admit, 3);
    assert.equal((await admit({ 'x-api-key': 'alice' }, from('192.0.2.2'))).userName, 'key:alice');
  });

  test('admits known callers of an address over the limit', async () => {
    const { admit } = createTestAdmission(3);
    await admit({ 'x-api-key': 'alice' }, attacker);
    await fail(admit, 3);
    assert.equal((await admit({ 'x-api-key': 'alice' }, attacker)).userName, 'key:alice');
    await assert.rejects(admit({ 'x-api-key': 'bob' }, attacker), TooManyRequestsError);
  });

  test('does not count successful authentications', async () => {
    const { admit } = createTestAdmission(3);
    for (let i = 0; i < 10; i += 1) await admit({ 'x-api-key': 'alice' }, attacker);
    await fail(admit, 3);
  });

  test('counts the addresses of an IPv6 network of 64 bits together', async () => {
    const { admit } = createTestAdmission(3);
    for (let i = 0; i < 3; i += 1) await assert.rejects(admit({}, from(`2001:db8::${i}`)));
    await assert.rejects(admit({ 'x-api-key': 'alice' }, from('2001:db8::ffff:1')), TooManyRequestsError);
  });

  test('holds refusals for a moment, and at most 256 at once', async (t) => {
    const { admit } = createTestAdmission(1, silent, 200);
    await fail(admit, 1);
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let refused = 0;
    const refusals = Array.from({ length: 300 }, () => admit({}, attacker).catch(() => (refused += 1)));
    await new Promise(setImmediate);
    assert.equal(refused, 300 - 256);
    t.mock.timers.tick(200);
    await Promise.all(refusals);
  });

  test('writes one log line for many failures, without the credentials', async () => {
    const { log, lines } = createLineLog();
    const { admit, failures } = createTestAdmission(3, log);
    await fail(admit, 3);
    for (let i = 0; i < 5; i += 1) await assert.rejects(admit({ 'x-api-key': 'guess' }, attacker));
    failures.flush();
    failures.flush();
    assert.deepEqual(lines, [
      {
        level: 'warn',
        failed: 3,
        notVerified: 5,
        addresses: ['192.0.2.1'],
        reasons: ['The API key in x-api-key is unknown'],
        message: 'authentication failed',
      },
    ]);
  });
});

describe('keys of an issuer that fails', () => {
  test('are fetched once for many tokens', async (t) => {
    const issuer = await startIssuer(t);
    const authenticate = createAuthenticate({
      apiKeys: undefined,
      jwt: [{ issuer: issuer.url, audience: ['a'], jwksUrl: `${issuer.url}/nothing-here` }],
      cloudRunIam: undefined,
      operators: [],
    });
    for (let i = 0; i < 20; i += 1) {
      const token = await issuer.createToken({}, { kid: `k${i}` });
      await assert.rejects(authenticate({ authorization: `Bearer ${token}` }), UnavailableError);
    }
    assert.equal(issuer.fetched.get('/nothing-here'), 1);
  });
});
