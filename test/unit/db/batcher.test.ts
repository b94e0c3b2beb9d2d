/** How calls are gathered into sets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createBatcher } from '#shared/db/client/batcher.ts';

const spacingMs = 60_000;

test('gathers the calls that follow a set of several for a while', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sets: number[][] = [];
  const call = createBatcher(
    async (inputs: readonly number[]) => {
      sets.push([...inputs]);
      return inputs;
    },
    { max: 10, getSpacingMs: (calls) => (calls > 1 ? spacingMs : 0) },
  );
  await call(1);
  await call(2);
  await Promise.all([call(3), call(4)]);
  const later = call(5);
  await setImmediate();
  const last = call(6);
  await setImmediate();
  assert.deepEqual(sets, [[1], [2], [3, 4]]);
  t.mock.timers.tick(spacingMs);
  assert.deepEqual(await Promise.all([later, last]), [5, 6]);
  assert.deepEqual(sets.at(-1), [5, 6]);
});
