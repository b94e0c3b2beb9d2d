/** Calls start a few at a time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairStarts } from '#services/api/limits/fair-starts.ts';

const refuse = (): void => assert.fail('refused');

test('starts a few calls in one iteration, and keys take turns', async () => {
  const starts = new FairStarts<string>({ perIteration: 8 });
  const order: string[] = [];
  for (let n = 0; n < 20; n++) starts.add('a', { start: () => order.push('a'), refuse });
  starts.add('b', { start: () => order.push('b'), refuse });
  const started = [order.length];
  for (let n = 0; n < 5 && order.length < 21; n++) {
    await new Promise(setImmediate);
    started.push(order.length);
  }
  assert.deepEqual(started, [8, 16, 21]);
  assert.equal(order.indexOf('b'), 9);
  starts.add('a', { start: () => order.push('next'), refuse });
  assert.equal(order.at(-1), 'next');
});

test('refuses calls of the key with most while too many wait', () => {
  const starts = new FairStarts<string>({ perIteration: 8, maxWaiting: 2_000 });
  let refused = 0;
  const count = { start: () => undefined, refuse: () => (refused += 1) };
  for (let n = 0; n < 3_000; n++) starts.add('a', count);
  assert.equal(refused, 3_000 - 8 - 2_000);
  starts.add('b', { start: () => undefined, refuse });
  assert.equal(refused, 3_000 - 8 - 2_000 + 1);
});
