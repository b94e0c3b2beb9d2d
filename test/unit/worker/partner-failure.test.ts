import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RetryableError } from '#shared/domain/errors.ts';
import {
  getPartnerDelaySeconds,
  isReported,
  spendsAttempt,
  toClientMessage,
} from '#services/worker/turn/failure/partner-failure.ts';
import { StepTimeoutError } from '#services/worker/turn/step-policy.ts';

const failure = { failures: 1, failingSeconds: 0, outageSeconds: 3600, maxAttempts: 5 };

describe('the delay after a failure of a partner', () => {
  test('doubles from 1 s, is short in comparison with the outage, and fills the window', () => {
    const delays: number[] = [];
    for (let failingSeconds = 0; ; failingSeconds += delays.at(-1)!) {
      const counts = { ...failure, failures: delays.length + 1, failingSeconds };
      const delay = getPartnerDelaySeconds(counts, 1);
      if (delay === undefined) break;
      delays.push(delay);
    }
    assert.deepEqual(delays.slice(0, 7), [1, 2, 4, 8, 16, 20, 20]);
    let failingSeconds = 0;
    for (const delay of delays) {
      assert.ok(
        delay <= Math.min(300, Math.max(20, failingSeconds / 12)),
        `${delay} s after ${failingSeconds} s`,
      );
      failingSeconds += delay;
    }
    const total = delays.reduce((sum, delay) => sum + delay, 0);
    assert.ok(total >= 3600 && total <= 3601, `${total} s`);
    assert.ok(delays.length < 60, `${delays.length} attempts`);
  });

  test('ends after the attempts if the definition has no window', () => {
    const delays = [1, 2, 3, 4, 5].map((failures) =>
      getPartnerDelaySeconds({ ...failure, failures, outageSeconds: 0 }, 1),
    );
    assert.deepEqual(delays, [1, 2, 4, 8, undefined]);
  });
});

describe('an error of an agent', () => {
  test('spends an attempt if it does not pass by itself', () => {
    const bug = new TypeError("Cannot read properties of undefined (reading 'x')");
    const own = [bug, new ReferenceError('x is not defined'), new StepTimeoutError('too long')];
    assert.deepEqual(own.map(spendsAttempt), [true, true, true]);
    const network = new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') });
    assert.deepEqual([network, new Error('503'), new RetryableError('x')].map(spendsAttempt), [
      false,
      false,
      false,
    ]);
  });

  test('is reported to clients without causes if its message is meant for them', () => {
    const cause = new Error('connect ECONNREFUSED 10.0.0.1:80');
    assert.equal(toClientMessage(new RetryableError('It is unavailable.', { cause })), 'It is unavailable.');
    assert.match(toClientMessage(new Error('failed', { cause })), /^failed \(cause: connect/);
  });
});

describe('a failure of a partner', () => {
  test('is reported after ten seconds, and again if another status replaced it', () => {
    const report = (more: Partial<typeof failure>, seconds: number, wroteStatus = false) =>
      isReported({ ...failure, ...more }, { seconds, wroteStatus });
    assert.deepEqual(
      [report({}, 1), report({}, 10), report({ failures: 2, failingSeconds: 9 }, 1)],
      [false, true, true],
    );
    assert.deepEqual(
      [5, 6].map((failures) => report({ failures, failingSeconds: 60 }, 1)),
      [true, false],
    );
    assert.equal(report({ failures: 6 }, 1, true), true);
  });
});
