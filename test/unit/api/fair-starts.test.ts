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

test('starts the calls of a key in their order, and counts those that wait', async () => {
  const starts = new FairStarts<string>({ perIteration: 1, maxWaiting: 2 });
  const order: number[] = [];
  for (let n = 0; n < 30; n += 3) {
    for (const each of [n, n + 1, n + 2]) starts.add('a', { start: () => order.push(each), refuse });
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
  }
  assert.deepEqual(order, [...Array(30).keys()]);
});

test('refuses calls of the key with most while too many wait', () => {
  const starts = new FairStarts<string>({ perIteration: 8, maxWaiting: 2_000 });
  const refused: string[] = [];
  const add = (key: string): void =>
    starts.add(key, { start: () => undefined, refuse: () => refused.push(key) });
  for (let n = 0; n < 3_000; n++) add('a');
  assert.equal(refused.length, 3_000 - 8 - 2_000);
  for (let n = 0; n < 500; n++) add('b');
  assert.deepEqual(refused.splice(0), Array(3_000 - 8 - 2_000 + 500).fill('a'));
  // A third of 2,000 is the share of each.
  for (let n = 0; n < 700; n++) add('c');
  assert.deepEqual(refused.splice(0), [...Array(666).fill('a'), ...Array(34).fill('c')]);
  for (let n = 0; n < 200; n++) add('b');
  assert.deepEqual(refused, [...Array(166).fill('a'), ...Array(34).fill('b')]);
});

test('refuses further calls if each key waits with one', () => {
  const starts = new FairStarts<number>({ perIteration: 1, maxWaiting: 3 });
  const refused: number[] = [];
  for (let key = 0; key < 6; key++) {
    starts.add(key, { start: () => undefined, refuse: () => refused.push(key) });
  }
  assert.deepEqual(refused, [4, 5]);
});
