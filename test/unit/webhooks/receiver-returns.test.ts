/** Which deliveries are attempted again when their receiver is back, with a stopped clock. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AttemptOutcome } from '#shared/db/webhooks/attempts/settle.ts';
import { ReceiverReturns, type EndedAttempt } from '#services/dispatcher/schedule/returns.ts';

const retry: AttemptOutcome = { kind: 'retry', delaySeconds: 300 };
const delivered: AttemptOutcome = { kind: 'delivered' };

function createReturns() {
  let now = 0;
  const returns = new ReceiverReturns(() => now);
  const end = (seq: number, more: Partial<EndedAttempt>) =>
    returns
      .ended({
        receiver: 'a',
        delivery: { taskId: 't', configId: 'c', seq },
        startedAt: now,
        status: null,
        retryAfter: undefined,
        outcome: retry,
        ...more,
      })
      .map((key) => key.seq);
  return {
    fail: (seq: number, more: Partial<EndedAttempt> = {}) => end(seq, more),
    accept: (seq: number, more: Partial<EndedAttempt> = {}) =>
      end(seq, { status: 200, outcome: delivered, ...more }),
    pass: (ms: number) => (now += ms),
  };
}

describe('deliveries of a receiver that was away', () => {
  test('are attempted again with each that it accepts, ten at a time', () => {
    const { fail, accept } = createReturns();
    for (let seq = 1; seq <= 12; seq += 1) assert.deepEqual(fail(seq), []);
    assert.deepEqual(accept(100), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert.deepEqual(accept(1), [11, 12]);
    assert.deepEqual(accept(2), []);
  });

  test('are attempted at once if they did not reach it before its return', () => {
    const { fail, accept, pass } = createReturns();
    fail(1);
    pass(1000);
    accept(2);
    assert.deepEqual(fail(3, { startedAt: 500 }), [3]);
    assert.deepEqual(fail(4), []);
  });

  test('that it keeps refusing have twice the distance each time', () => {
    const { fail, accept, pass } = createReturns();
    fail(1);
    assert.deepEqual(accept(2), [1]);
    fail(1);
    const distances = [15, 30, 60].map((seconds) => {
      pass(seconds * 1000 - 1);
      const early = accept(2);
      pass(1);
      const onTime = accept(2);
      fail(1);
      return [early, onTime];
    });
    assert.deepEqual(
      distances,
      Array.from({ length: 3 }, () => [[], [1]]),
    );
  });

  test('are left alone if they settled, are tests, or failed for another reason', () => {
    const { fail, accept } = createReturns();
    fail(1);
    fail(1, { outcome: { kind: 'abandoned', reason: 'too many' } });
    fail(-1);
    fail(2, { status: 404 });
    fail(3, { status: 429 });
    fail(4, { status: 503, retryAfter: '60' });
    fail(5, { outcome: { kind: 'deferred', delaySeconds: 60, reason: 'bytes_used_up' } });
    fail(6, { receiver: 'b' });
    fail(7, { outcome: { kind: 'deferred', delaySeconds: 60, reason: 'receiver_failing' } });
    assert.deepEqual(accept(100), [7]);
  });
});
