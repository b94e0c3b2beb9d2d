/** The policy of a step: its bound, its retries, and the one key under which it runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffSeconds } from '#shared/domain/backoff.ts';
import { FatalError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
import { raceAbort } from '#services/worker/turn/race-abort.ts';
import { runWithPolicy } from '#services/worker/turn/step-policy.ts';

const fast = { firstSeconds: 0.001, longestSeconds: 0.002 };
const never = new AbortController().signal;

/** A step that fails so often before it works. */
function flaky(failures: number, error: Error = new Error('not yet')) {
  const keys: string[] = [];
  const run = async ({ idempotencyKey }: { idempotencyKey: string }): Promise<number> => {
    keys.push(idempotencyKey);
    if (keys.length <= failures) throw error;
    return keys.length;
  };
  return { run, keys };
}

test('a run that fails is tried again as often as the policy says, under the same key', async () => {
  const step = flaky(2);
  assert.equal(await runWithPolicy(step.run, 'key', never, { retries: { times: 2, ...fast } }), 3);
  assert.deepEqual(step.keys, ['key', 'key', 'key']);
  const once = flaky(2);
  await assert.rejects(runWithPolicy(once.run, 'key', never, { retries: { times: 1, ...fast } }), /not yet/);
  assert.equal(once.keys.length, 2);
  const bare = flaky(1);
  await assert.rejects(runWithPolicy(bare.run, 'key', never, {}), /not yet/);
  assert.equal(bare.keys.length, 1);
});

test('what is fatal, or waits for capacity, is not tried again in place', async () => {
  for (const error of [new FatalError('no'), new ParkedError('later', new Date())]) {
    const step = flaky(1, error);
    await assert.rejects(runWithPolicy(step.run, 'key', never, { retries: { times: 3, ...fast } }), error);
    assert.equal(step.keys.length, 1);
  }
});

test('a run past its bound has failed, whether or not it heeds its signal', async () => {
  let reason: unknown;
  const heeds = ({ signal }: { signal: AbortSignal }) =>
    new Promise<void>((_, reject) => {
      signal.addEventListener('abort', () => {
        reason = signal.reason;
        reject(signal.reason as Error);
      });
    });
  const deaf = () => new Promise<void>(() => undefined);
  for (const run of [heeds, deaf]) {
    await assert.rejects(
      runWithPolicy(run, 'key', never, { timeoutSeconds: 0.01 }),
      (error) => error instanceof RetryableError && /longer than 0.01 s/.test(error.message),
    );
  }
  assert.equal((reason as Error).name, 'TimeoutError');
});

test('work that ends soon after its signal keeps its result; work that does not is left behind', async () => {
  const stop = new AbortController();
  const soon = Promise.withResolvers<string>();
  const ending = raceAbort(stop.signal, soon.promise);
  const left = raceAbort(stop.signal, new Promise(() => undefined));
  stop.abort(new Error('stopping'));
  soon.resolve('done');
  assert.equal(await ending, 'done');
  await assert.rejects(left, /stopping/);
  await assert.rejects(raceAbort(stop.signal, new Promise(() => undefined)), /stopping/);
});

test('waits are doubled up to the longest, over their upper half', () => {
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
  assert.deepEqual([backoffSeconds(1, 1), backoffSeconds(50, 1)], [1, 60]);
});
