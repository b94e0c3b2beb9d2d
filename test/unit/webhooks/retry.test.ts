import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { nextAttemptSeconds, parseRetryAfter } from '#shared/domain/retry.ts';
import { classifyAnswer } from '#services/dispatcher/outcome.ts';

const schedule = fc.array(fc.nat(86_400), { minLength: 1, maxLength: 20 });
const chance = fc.double({ min: 0, max: 1, noNaN: true });
const day = 86_400;

describe('nextAttemptSeconds', () => {
  test('is never earlier than planned or requested, and at most a fifth later', () => {
    fc.assert(
      fc.property(
        schedule,
        fc.integer({ min: 1, max: 19 }),
        fc.option(fc.nat(day)),
        chance,
        (plan, failures, requested, roll) => {
          fc.pre(failures < plan.length);
          const failure = { failures, retryAfterSeconds: requested ?? undefined };
          const wait = nextAttemptSeconds(plan, failure, roll)!;
          const least = Math.max(plan[failures]!, requested ?? 0);
          assert.ok(wait >= least && wait <= least * 1.2 + 1e-9, `${wait} of ${least}`);
        },
      ),
    );
  });

  test('allows as many attempts as the schedule has entries', () => {
    fc.assert(
      fc.property(schedule, chance, fc.option(fc.nat(day)), (plan, roll, requested) => {
        let failures = 1;
        const retryAfterSeconds = requested ?? undefined;
        while (nextAttemptSeconds(plan, { failures, retryAfterSeconds }, roll) !== undefined) failures += 1;
        assert.equal(failures, plan.length);
      }),
    );
  });

  test('spreads retries of receivers that failed together', () => {
    const waits = [0, 0.25, 0.5, 1].map((roll) =>
      Math.round(nextAttemptSeconds([0, 100], { failures: 1 }, roll)!),
    );
    assert.deepEqual(waits, [100, 105, 110, 120]);
  });
});

describe('parseRetryAfter', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const cases: [header: string | null | undefined, seconds: number | undefined][] = [
    [undefined, undefined],
    [null, undefined],
    ['', undefined],
    [' ', undefined],
    ['soon', undefined],
    ['-5', undefined],
    ['+5', undefined],
    ['5s', undefined],
    ['1e3', undefined],
    ['0x10', undefined],
    ['.5', undefined],
    ['1.', undefined],
    ['1, 2', undefined],
    ['Infinity', undefined],
    ['0', 0],
    ['120', 120],
    [' 7 ', 7],
    ['007', 7],
    ['1.5', 2],
    ['0.001', 1],
    ['99999999999999999999', day],
    // IMF-fixdate
    ['Thu, 01 Jan 2026 00:00:30 GMT', 30],
    ['Wed, 31 Dec 2025 23:59:00 GMT', 0],
    ['Fri, 01 Jan 2027 00:00:00 GMT', day],
    // RFC 850, with a year of two digits
    ['Thursday, 01-Jan-26 00:00:30 GMT', 30],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 0],
    // asctime, with a day of one digit
    ['Thu Jan  1 00:00:30 2026', 30],
    ['Sun Nov  6 08:49:37 1994', 0],
    // Other dates
    ['2026-01-02', undefined],
    ['2026-01-01T00:00:30Z', undefined],
    ['Thu, 1 Jan 2026 00:00:30 GMT', undefined],
    ['Thu, 01 Jan 2026 00:00:30 +0000', undefined],
    ['Thu, 01 Jan 2026 24:00:30 GMT', undefined],
    ['Thu, 01 Foo 2026 00:00:30 GMT', undefined],
    ['thu, 01 jan 2026 00:00:30 gmt', undefined],
  ];
  for (const [header, seconds] of cases) {
    test(`reads ${JSON.stringify(header)} as ${seconds ?? 'absent'}`, () => {
      assert.equal(parseRetryAfter(header, now), seconds);
    });
  }
});

describe('classifyAnswer', () => {
  const moment = { chance: 0, now: 0 };
  const answer = (status: number | null, retryAfter?: string) =>
    classifyAnswer({ status, error: null, retryAfter }, 0, [0, 5], moment);

  test('delivers on 2xx only', () => {
    for (const status of [200, 201, 202, 204, 299]) assert.deepEqual(answer(status), { kind: 'delivered' });
    for (const status of [100, 300, 301, 302, 304, 307, 308, 400, 401, 404, 408, 429, 500, 503, null]) {
      assert.deepEqual(answer(status), { kind: 'retry', delaySeconds: 5 }, `${status}`);
    }
  });

  test('follows Retry-After on 429 and 503 only', () => {
    assert.deepEqual(answer(429, '60'), { kind: 'retry', delaySeconds: 60 });
    assert.deepEqual(answer(503, '60'), { kind: 'retry', delaySeconds: 60 });
    assert.deepEqual(answer(503, '1'), { kind: 'retry', delaySeconds: 5 });
    assert.deepEqual(answer(500, '60'), { kind: 'retry', delaySeconds: 5 });
  });

  test('abandons the config on 410 or when the schedule is used up', () => {
    assert.equal(answer(410).kind, 'abandoned');
    const noAnswer = { status: null, error: 'ECONNREFUSED', retryAfter: '60' };
    assert.deepEqual(classifyAnswer(noAnswer, 1, [0, 5], moment), {
      kind: 'abandoned',
      reason: '2 attempts in a row have failed; the last: ECONNREFUSED.',
    });
  });
});
