/** Calls of gRPC start a few at a time. */
import assert from 'node:assert/strict';
import type { Http2Session } from 'node:http2';
import { test } from 'node:test';
import { CallStarts } from '#services/api/bindings/grpc/call-starts.ts';

test('starts at most 16 calls in one iteration, and connections take turns', async () => {
  const starts = new CallStarts();
  const [a, b] = [{} as Http2Session, {} as Http2Session];
  const order: string[] = [];
  for (let n = 0; n < 40; n++) starts.add(a, () => order.push('a'));
  starts.add(b, () => order.push('b'));
  const started = [order.length];
  for (let n = 0; n < 5 && order.length < 41; n++) {
    await new Promise(setImmediate);
    started.push(order.length);
  }
  assert.deepEqual(started, [16, 32, 41]);
  assert.equal(order.indexOf('b'), 17);
  starts.add(a, () => order.push('next'));
  assert.equal(order.at(-1), 'next');
});
