/** The policy of a step: its timeout, its retries, and the one idempotency key of all its runs. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { backoffSeconds } from '#shared/domain/backoff.ts';
import { FatalError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
import { raceAbort } from '#services/worker/turn/race-abort.ts';
import { runWithPolicy } from '#services/worker/turn/step-policy.ts';

const fast = { firstSeconds: 0.001, longestSeconds: 0.002 };
const never = new AbortController().signal;

/** A step that succeeds after a number of failures. */
function createFlakyStep(failures: number, error: Error = new Error('not yet')) {
  const keys: string[] = [];
  const run = async ({ idempotencyKey }: { idempotencyKey: string }): Promise<number> => {
    keys.push(idempotencyKey);
    if (keys.length <= failures) throw error;
    return keys.length;
  };
  return { run, keys };
}

describe('runWithPolicy', () => {
  test('retries a failed run under the same key', async () => {
    const step = createFlakyStep(2);
    assert.equal(await runWithPolicy(step.run, 'key', never, { retries: { times: 2, ...fast } }), 3);
    assert.deepEqual(step.keys, ['key', 'key', 'key']);
  });

  test('rejects with the last error when the retries are used up', async () => {
    const step = createFlakyStep(2);
    const result = runWithPolicy(step.run, 'key', never, { retries: { times: 1, ...fast } });
    await assert.rejects(result, /not yet/);
    assert.equal(step.keys.length, 2);
  });

  test('does not retry by default', async () => {
    const step = createFlakyStep(1);
    await assert.rejects(runWithPolicy(step.run, 'key', never, {}), /not yet/);
    assert.equal(step.keys.length, 1);
  });

  for (const error of [new FatalError('no'), new ParkedError('later', new Date())]) {
    test(`does not retry a ${error.name}`, async () => {
      const step = createFlakyStep(1, error);
      await assert.rejects(runWithPolicy(step.run, 'key', never, { retries: { times: 3, ...fast } }), error);
      assert.equal(step.keys.length, 1);
    });
  }

  test('aborts a run at its timeout and rejects with a RetryableError', async () => {
    let reason: unknown;
    const run = ({ signal }: { signal: AbortSignal }) =>
      new Promise<void>((_, reject) => {
        signal.addEventListener('abort', () => {
          reason = signal.reason;
          reject(signal.reason as Error);
        });
      });
    await assert.rejects(runWithPolicy(run, 'key', never, { timeoutSeconds: 0.01 }), isTimeout);
    assert.equal((reason as Error).name, 'TimeoutError');
  });

  test('rejects a run that ignores its timeout signal', async () => {
    const run = () => new Promise<void>(() => undefined);
    await assert.rejects(runWithPolicy(run, 'key', never, { timeoutSeconds: 0.01 }), isTimeout);
  });
});

describe('raceAbort', () => {
  test('returns the result of work that ends soon after the abort', async () => {
    const stop = new AbortController();
    const work = Promise.withResolvers<string>();
    const result = raceAbort(stop.signal, work.promise);
    stop.abort(new Error('stopping'));
    work.resolve('done');
    assert.equal(await result, 'done');
  });

  test('rejects with the reason when work ignores the abort', async () => {
    const stop = new AbortController();
    const result = raceAbort(stop.signal, new Promise(() => undefined));
    stop.abort(new Error('stopping'));
    await assert.rejects(result, /stopping/);
  });

  test('rejects with the reason when the signal has aborted before', async () => {
    const signal = AbortSignal.abort(new Error('stopping'));
    await assert.rejects(raceAbort(signal, new Promise(() => undefined)), /stopping/);
  });
});

describe('backoffSeconds', () => {
  test('doubles up to the longest wait, with jitter over the upper half', () => {
    const policy = { firstSeconds: 2, longestSeconds: 10 };
    const waits = [1, 2, 3, 4].map((attempt) => [
      backoffSeconds(attempt, 0, policy),
      backoffSeconds(attempt, 1, policy),
    ]);
    assert.deepEqual(waits, [
      [1, 2],
      [2, 4],
      [4, 8],
      [5, 10],
    ]);
  });

  test('waits from 1 to 60 seconds by default', () => {
    assert.deepEqual([backoffSeconds(1, 1), backoffSeconds(50, 1)], [1, 60]);
  });
});

function isTimeout(error: unknown): boolean {
  return error instanceof RetryableError && /longer than 0.01 s/.test(error.message);
}
