/** Nothing is begun under a lease that has run out (invariants 3 and 7), however long a write before it took. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LeaseLostError, RetryableError } from '#shared/domain/errors.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { createTurn } from '../../services/worker/turn.ts';

/** A turn whose lease runs out while what is awaited is under way, as it does for a process that is paused. */
function turnThatLoses() {
  let ranOut = false;
  const lost = new AbortController();
  const expire = (): void => {
    ranOut = true;
  };
  const turn = createTurn({
    held: {
      lease: { taskId: uuidv7(), turn: 1, fence: 1 },
      lost: lost.signal,
      assertHeld: () => {
        if (ranOut) lost.abort(new LeaseLostError('its lease ran out'));
        lost.signal.throwIfAborted();
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
      earlier: [],
      earlierSteps: [],
      steps: [],
      traceparent: null,
    },
    signal: lost.signal,
    checkpoint: new AbortController().signal,
    write: async () => {
      expire();
      return { bells: [] };
    },
    ringer: { ring: () => undefined, ringAll: async () => undefined, idle: async () => undefined },
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
