/** The intake of a worker takes turns from the queues of owners. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createIntake, type IntakeParts } from '#services/worker/intake/intake.ts';

describe('the intake', () => {
  test('takes no turn of a limited owner right after an outage', async () => {
    const intake = createIntake({
      concurrency: 1,
      ownerShare: 1,
      mayClaim: () => true,
      getOwnerLimits: async () => ({ concurrentTurns: 1 }),
      databaseFailedAt: () => performance.now(),
      // Throws if it is asked.
      db: undefined,
    } as unknown as IntakeParts);
    assert.deepEqual(await intake.dequeue('ada', 1), { turns: [], mayHaveMore: false });
  });
});
