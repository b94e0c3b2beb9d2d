/** How callers share the requests that a process receives. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Receiving } from '#services/api/limits/receiving.ts';

const megabyte = 1024 ** 2;

function create() {
  const limits = { requests: 100, bytes: 128 * megabyte };
  const receiving = new Receiving({ all: limits, perCaller: limits });
  /** Declares bodies of a caller until one is refused. Returns how many were not, and the refusal. */
  const fill = (name: string, bytes: number) => {
    for (let count = 0; ; count++) {
      try {
        receiving.open(name).add(bytes);
      } catch (error) {
        return { count, message: (error as Error).message };
      }
    }
  };
  return { receiving, fill };
}

describe('requests that are received', () => {
  test('may be half of all for one caller alone', () => {
    const { fill } = create();
    assert.equal(fill('a', 0).count, 50);
    const other = create();
    assert.equal(other.fill('a', 8 * megabyte).count, 8);
  });

  test('have room for further callers, however many fill it', () => {
    const { fill, receiving } = create();
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((name) => fill(name, megabyte).count),
      [50, 25, 12, 6],
    );
    receiving.open('e').add(4 * megabyte);
  });

  test('have room in bytes for the only request of a caller', () => {
    const { fill, receiving } = create();
    for (const name of ['a', 'b']) fill(name, 8 * megabyte);
    receiving.open('c').add(32 * megabyte);
  });

  test('are refused without a number per caller if the process has no room', () => {
    const { fill } = create();
    const text = 'Too many requests are being received. Try again in 1 s.';
    assert.equal(fill('a', megabyte).message, text);
    assert.equal(fill('b', 80 * megabyte).message, text);
  });

  test('free their part when they are complete', () => {
    const { fill, receiving } = create();
    const first = receiving.open('a');
    first.add(megabyte);
    fill('a', 0);
    first.close();
    receiving.open('a');
  });
});
