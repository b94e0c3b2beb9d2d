/** Nothing is begun under a lease that has run out (invariants 3 and 7), however long a write before it took. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WriteTurn } from '#shared/db/turns/write.ts';
import { LeaseLostError, RetryableError } from '#shared/domain/errors.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createTurn } from '#services/worker/turn/turn.ts';

/** A turn whose lease runs out while what is awaited is under way, as it does for a process that is paused. */
function turnThatLoses(write?: WriteTurn) {
  let ranOut = false;
  const ending = new AbortController();
  const expire = (): void => {
    ranOut = true;
  };
  const turn = createTurn({
    held: {
      lease: { taskId: uuidv7(), turn: 1, fence: 1 },
      signal: ending.signal,
      lost: () => undefined,
      stop: (reason) => ending.abort(reason),
      assertHeld: () => {
        if (ranOut) ending.abort(new LeaseLostError('its lease ran out'));
        ending.signal.throwIfAborted();
      },
      release: () => undefined,
    },
    input: {
      contextId: 'c',
      owner: 'o',
      tenant: '',
      metadata: {},
      definition: {},
      message: { messageId: 'm', role: 'ROLE_USER', parts: [] },
      acceptedOutputModes: [],
      references: [],
      earlier: [],
      earlierSteps: [],
      startedSecondsAgo: 0,
      steps: [],
      usage: undefined,
      traceparent: null,
    },
    checkpoint: new AbortController().signal,
    write: write ?? (async () => (expire(), { wakeups: [] })),
    filesOf: () => ({ settle: async (parts) => [...parts], read: async () => undefined }),
    outbox: { publish: () => undefined, publishAll: async () => undefined, idle: async () => undefined },
    log: createLogger('test', 'silent'),
  });
  return { turn, expire };
}

test('a step with side effects is not run when the lease ran out while its beginning was recorded', async () => {
  const { turn } = turnThatLoses();
  let ran = 0;
  const step = turn.step('pay', async () => void (ran += 1), { sideEffects: true });
  await assert.rejects(step, LeaseLostError);
  assert.equal(ran, 0);
});

test('what a step does after progress is not done when the lease ran out while that was stored', async () => {
  const { turn } = turnThatLoses();
  let called = 0;
  const step = turn.step('tool', async () => {
    await turn.progress('Calling …');
    called += 1;
  });
  await assert.rejects(step, LeaseLostError);
  assert.equal(called, 0);
});

test('a step is not run again by its policy when the lease ran out meanwhile', async () => {
  const { turn, expire } = turnThatLoses();
  let ran = 0;
  const run = async (): Promise<void> => {
    ran += 1;
    expire();
    throw new RetryableError('not yet');
  };
  await assert.rejects(turn.step('flaky', run, { retries: 3 }), LeaseLostError);
  assert.equal(ran, 1);
});

test('a step that has run is recorded when the database is back, and does not run again', async () => {
  const away = Object.assign(new Error('Connection terminated unexpectedly'), { code: '57P01' });
  let writes = 0;
  const { turn } = turnThatLoses(async () => {
    writes += 1;
    if (writes < 3) throw away;
    return { wakeups: [] };
  });
  let ran = 0;
  await turn.step('once', async () => void (ran += 1));
  assert.deepEqual([ran, writes], [1, 3]);
});

test('what the database refuses is not tried again', async () => {
  const refused = Object.assign(new Error('invalid byte sequence'), { code: '22021' });
  let writes = 0;
  const { turn } = turnThatLoses(async () => {
    writes += 1;
    throw refused;
  });
  await assert.rejects(
    turn.step('once', async () => undefined),
    refused,
  );
  assert.equal(writes, 1);
});
