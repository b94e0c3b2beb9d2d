import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ApiError } from '@google/genai';
import * as fc from 'fast-check';
import {
  capRetryAfterMs,
  defaultModelBackoff,
  getInPlaceDelayMs,
  getParkDelayMs,
} from '#services/worker/agent/gemini/model/backoff.ts';
import { toModelFailure } from '#services/worker/agent/gemini/model/failure.ts';

const retryAfter = fc.option(fc.integer({ min: 0, max: 10_000_000 }), { nil: undefined });
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('the backoff of model calls', () => {
  test('doubles the wait in place from 200 to 400 ms up to the last call', () => {
    const bounds = [1, 2, 3, 4].map((attempt) =>
      [0, 1].map((roll) => getInPlaceDelayMs(defaultModelBackoff, attempt, undefined, roll)),
    );
    assert.deepEqual(bounds, [
      [200, 400],
      [400, 800],
      [800, 1600],
      [undefined, undefined],
    ]);
  });

  test('waits in place at least as long as the server asks, within its limit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 }), retryAfter, random, (attempt, retryAfterMs, roll) => {
        const wait = getInPlaceDelayMs(defaultModelBackoff, attempt, retryAfterMs, roll);
        const { calls, longestInPlaceMs } = defaultModelBackoff;
        if (attempt >= calls) return wait === undefined;
        if (wait === undefined) return (retryAfterMs ?? 0) * 1.25 > longestInPlaceMs;
        return wait >= (retryAfterMs ?? 0) && wait <= longestInPlaceMs && wait > 0;
      }),
    );
  });

  test('parks for 5 s to 15 min, and at least as long as the server asks within that', () => {
    fc.assert(
      fc.property(retryAfter, random, (retryAfterMs, roll) => {
        const park = getParkDelayMs(retryAfterMs, roll);
        return park >= 5000 && park <= 900_000 && park >= Math.min(retryAfterMs ?? 20_000, 900_000);
      }),
    );
  });

  test('caps the wait for all workers at 15 minutes', () => {
    assert.deepEqual([undefined, 20_000, 86_400_000].map(capRetryAfterMs), [0, 20_000, 900_000]);
  });
});

describe('the wait that a failed call asks for', () => {
  const failWith = (header: string | null, details: object[] = []) => {
    const message = JSON.stringify({ error: { message: 'quota', details } });
    const failure = toModelFailure(new ApiError({ message, status: 429 }), {
      model: 'm',
      status: 429,
      retryAfter: header,
    });
    assert.ok(failure.kind === 'overload');
    return failure.retryAfterMs;
  };

  test('is the Retry-After header in seconds', () => {
    assert.equal(failWith('30'), 30_000);
  });

  test('is the Retry-After header as a date', () => {
    const wait = failWith(new Date(Date.now() + 60_000).toUTCString()) ?? 0;
    assert.ok(wait > 55_000 && wait <= 61_000, `${wait} ms`);
  });

  test('is the RetryInfo of the error rather than the header', () => {
    assert.equal(failWith('30', [{ retryDelay: '0.2s' }]), 200);
  });

  test('is undefined without a readable header', () => {
    assert.equal(failWith(null), undefined);
    assert.equal(failWith('soon'), undefined);
  });
});
