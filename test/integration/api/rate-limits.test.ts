/** Limits of requests, for each caller or address. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createLogger } from '#shared/runtime/log.ts';
import { createAdmission } from '#services/api/limits/admission.ts';
import { AuthFailures } from '#services/api/limits/auth-failures.ts';
import { createAuthenticate } from '#services/api/auth/authenticate.ts';
import { TooManyRequestsError } from '#services/api/handler/errors.ts';
import { TokenBuckets } from '#services/api/limits/token-buckets.ts';
import { sha256 } from '../../support/services/api-keys.ts';
import { readAuthConfig } from '../../support/services/authentication.ts';

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

  test('admits a few requests in one iteration of the event loop, and callers in turns', async () => {
    const admit = createAdmission({
      authenticate: createAuthenticate(
        readAuthConfig({ AUTH_MODES: 'api-key', API_KEYS: `a:${sha256('a')},b:${sha256('b')}` }),
      ),
      failures,
      buckets: undefined,
      log,
    });
    const admitted: string[] = [];
    let iterations = 0;
    const next = (): void => {
      iterations += 1;
      if (admitted.length < 101) setImmediate(next);
    };
    const call = async (key: string): Promise<void> => {
      await admit({ 'x-api-key': key }, () => '192.0.2.1');
      admitted.push(key);
    };
    setImmediate(next);
    await Promise.all([...Array.from({ length: 100 }, () => call('a')), call('b')]);
    assert.ok(admitted.indexOf('b') < 32, `b was admitted after ${admitted.indexOf('b')} others`);
    assert.ok(iterations >= 6, `all were admitted in ${iterations} iterations`);
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
