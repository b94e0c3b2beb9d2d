/** Calls of gRPC start a few at a time. */
import assert from 'node:assert/strict';
import type { Http2Session } from 'node:http2';
import { test } from 'node:test';
import { CallStarts } from '#services/api/bindings/grpc/call-starts.ts';

test('starts at most 8 calls in one iteration, and connections take turns', async () => {
  const starts = new CallStarts();
  const [a, b] = [{} as Http2Session, {} as Http2Session];
  const order: string[] = [];
  for (let n = 0; n < 20; n++) starts.add(a, () => order.push('a'));
  starts.add(b, () => order.push('b'));
  const started = [order.length];
  for (let n = 0; n < 5 && order.length < 21; n++) {
    await new Promise(setImmediate);
    started.push(order.length);
  }
  assert.deepEqual(started, [8, 16, 21]);
  assert.equal(order.indexOf('b'), 9);
  starts.add(a, () => order.push('next'));
  assert.equal(order.at(-1), 'next');
});

test('refuses calls while 2,000 wait', () => {
  const starts = new CallStarts();
  const taken = Array.from({ length: 3_000 }, () => starts.add(undefined, () => undefined));
  assert.equal(taken.filter(Boolean).length, 8 + 2_000);
  assert.deepEqual([taken[2_007], taken[2_008]], [true, false]);
});
