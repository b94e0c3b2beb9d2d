import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextAttemptSeconds, parseRetryAfter } from '#shared/domain/retry.ts';
import * as fc from 'fast-check';
import { classifyAnswer } from '#services/dispatcher/outcome.ts';

const schedule = fc.array(fc.nat(86_400), { minLength: 1, maxLength: 20 });
const chance = fc.double({ min: 0, max: 1, noNaN: true });
const day = 86_400;

test('an attempt is never earlier than planned or asked, and at most a fifth later', () => {
  fc.assert(
    fc.property(
      schedule,
      fc.integer({ min: 1, max: 19 }),
      fc.option(fc.nat(day)),
      chance,
      (plan, failures, asked, dice) => {
        fc.pre(failures < plan.length);
        const wait = nextAttemptSeconds(plan, { failures, retryAfterSeconds: asked ?? undefined }, dice)!;
        const least = Math.max(plan[failures]!, asked ?? 0);
        assert.ok(wait >= least && wait <= least * 1.2 + 1e-9, `${wait} of ${least}`);
      },
    ),
  );
});

test('there are exactly as many attempts as the schedule has entries', () => {
  fc.assert(
    fc.property(schedule, chance, fc.option(fc.nat(day)), (plan, dice, asked) => {
      let attempts = 1;
      while (
        nextAttemptSeconds(plan, { failures: attempts, retryAfterSeconds: asked ?? undefined }, dice) !==
        undefined
      ) {
        attempts += 1;
      }
      assert.equal(attempts, plan.length);
    }),
  );
});

test('chance spreads receivers that failed together', () => {
  const waits = [0, 0.25, 0.5, 1].map((dice) =>
    Math.round(nextAttemptSeconds([0, 100], { failures: 1 }, dice)!),
  );
  assert.deepEqual(waits, [100, 105, 110, 120]);
});

test('Retry-After is read as seconds or as a date, within one second and one day', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const cases: [string | undefined, number | undefined][] = [
    [undefined, undefined],
    ['', undefined],
    ['soon', undefined],
    ['-5', undefined],
    ['1.5', undefined],
    ['2026-01-02', undefined],
    ['0', 1],
    ['120', 120],
    [' 7 ', 7],
    ['99999999999999999999', day],
    ['Thu, 01 Jan 2026 00:00:30 GMT', 30],
    ['Wed, 31 Dec 2025 23:59:00 GMT', 1],
    ['Fri, 01 Jan 2027 00:00:00 GMT', day],
  ];
  for (const [header, seconds] of cases) assert.equal(parseRetryAfter(header, now), seconds, header);
});

test('only 2xx is success, 410 ends at once, and Retry-After counts where it has a meaning', () => {
  const moment = { chance: 0, now: 0 };
  const answer = (status: number | null, retryAfter?: string) =>
    classifyAnswer({ status, error: null, retryAfter }, 0, [0, 5], moment);
  for (const status of [200, 201, 202, 204, 299]) assert.deepEqual(answer(status), { kind: 'delivered' });
  for (const status of [100, 300, 301, 302, 304, 307, 308, 400, 401, 404, 408, 429, 500, 503, null]) {
    assert.deepEqual(answer(status), { kind: 'retry', delaySeconds: 5 }, `${status}`);
  }
  assert.deepEqual(answer(429, '60'), { kind: 'retry', delaySeconds: 60 });
  assert.deepEqual(answer(503, '1'), { kind: 'retry', delaySeconds: 5 });
  assert.deepEqual(answer(500, '60'), { kind: 'retry', delaySeconds: 5 });
  assert.equal(answer(410).kind, 'abandoned');
  assert.deepEqual(
    classifyAnswer({ status: null, error: 'ECONNREFUSED', retryAfter: '60' }, 1, [0, 5], moment),
    {
      kind: 'abandoned',
      reason: '2 attempts in a row have failed; the last: ECONNREFUSED.',
    },
  );
});
