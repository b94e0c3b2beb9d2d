/**
 * Any request gets a proper answer: never an internal error, never a crash. The seed is fixed, so failures
 * can be reproduced; FUZZ_SEED and FUZZ_SECONDS select another seed and a longer run.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as fc from 'fast-check';
import { createAuthenticate } from '#services/api/auth/authenticate.ts';
import { UnauthenticatedError } from '#services/api/auth/errors.ts';
import { RetryLaterError } from '#services/api/handler/errors.ts';
import { createKeyEntry } from '../../support/services/api-keys.ts';
import { startIssuer } from '../../support/fakes/issuer.ts';
import { createHostileRequests, type HostileRequest } from '../../support/clients/hostile/requests.ts';
import { createHostileV03Requests } from '../../support/clients/hostile/v03-requests.ts';
import { startStack } from '../../support/stack.ts';

const seed = Number(process.env['FUZZ_SEED'] ?? 20_261_122);
const seconds = Number(process.env['FUZZ_SECONDS'] ?? 3);
const bounds = {
  seed,
  numRuns: 1_000_000,
  interruptAfterTimeLimit: seconds * 1000,
  markInterruptAsFailure: false,
};

const internalError = -32603;
const parallel = 6;

describe('fuzzing', () => {
  test('answers every request without an internal error', async (t) => {
    const stack = await startStack(t, { SEND_WAIT_SECONDS: '0', BODY_LIMIT_BYTES: String(256 * 1024) });
    const api = await stack.start('api');
    const task = await stack.submit('a task that exists');
    const ids = [task.id, task.contextId];
    const requests = fc.oneof(
      { weight: 2, arbitrary: createHostileRequests(ids) },
      { weight: 1, arbitrary: createHostileV03Requests(ids) },
    );
    let sent = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(requests, { minLength: 1, maxLength: parallel }), async (batch) => {
        await Promise.all(batch.map((request) => checkAnswer(stack.apiUrl, request)));
        sent += batch.length;
      }),
      bounds,
    );
    t.diagnostic(`${sent} requests, seed ${seed}`);
    assert.ok(sent > 20);
    assert.equal((await fetch(`${stack.apiUrl}/health/ready`)).status, 200);
    assert.equal(api.running.child.exitCode, null);
    assert.doesNotMatch(api.running.output(), /.*"severity":"(ERROR|CRITICAL)".*/);
    assert.equal((await stack.rpc('GetTask', { id: task.id })).error, undefined);
  });

  test('either accepts or refuses credentials of any form', async (t) => {
    const issuer = await startIssuer(t);
    const authenticate = createAuthenticate({
      apiKeys: [createKeyEntry('alice', 'a key that is not guessed')],
      jwt: [{ issuer: issuer.url, audience: ['a'], jwksUrl: undefined }],
      cloudRunIam: undefined,
      operators: [],
    });
    const part = fc.oneof(
      fc.json().map((text) => Buffer.from(text).toString('base64url')),
      fc
        .record({
          iss: fc.constantFrom(issuer.url, 'x'),
          sub: fc.jsonValue(),
          exp: fc.jsonValue(),
          alg: fc.string(),
        })
        .map((claims) => Buffer.from(JSON.stringify(claims)).toString('base64url')),
      fc.string(),
    );
    const token = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => `Bearer ${parts.join('.')}`);
    const value = fc.oneof(token, fc.string({ unit: 'binary' }), fc.array(fc.string(), { maxLength: 2 }));
    const headers = fc.record({ authorization: value, 'x-api-key': value }, { requiredKeys: [] });
    await fc.assert(
      fc.asyncProperty(headers, async (sent) => {
        const error = await authenticate(sent).catch((error: unknown) => error);
        assert.ok(error instanceof UnauthenticatedError || error instanceof RetryLaterError, String(error));
      }),
      { ...bounds, numRuns: 2000 },
    );
  });
});

async function checkAnswer(apiUrl: string, request: HostileRequest, mayRetry = true): Promise<void> {
  const { method, path, headers, body } = request;
  const disconnect = new AbortController();
  const response = await fetch(`${apiUrl}${path}`, {
    method,
    headers,
    ...(body !== undefined && { body }),
    signal: AbortSignal.any([disconnect.signal, AbortSignal.timeout(60_000)]),
  });
  const type = response.headers.get('content-type') ?? '';
  if (type.startsWith('text/event-stream')) {
    assert.equal(response.status, 200);
    disconnect.abort();
    return;
  }
  const text = await response.text();
  // A busy machine may briefly have no free database connection; a request that causes the 503 causes it
  // again.
  if (response.status === 503 && mayRetry) {
    await sleep(1000 * Number(response.headers.get('retry-after')));
    return checkAnswer(apiUrl, request, false);
  }
  assert.ok(response.status < 500, `${response.status} ${text}`);
  if (text === '') return;
  assert.match(type, /json/);
  const answer = JSON.parse(text) as { code?: number; error?: { code?: number } } | null;
  assert.notEqual(answer?.error?.code, internalError, text);
  assert.notEqual(answer?.code, internalError, text);
}
