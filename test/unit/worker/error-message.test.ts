import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errorMessage } from '#shared/runtime/log.ts';

describe('errorMessage', () => {
  test('returns the message of an error, and any other value as text', () => {
    assert.deepEqual([new Error('no'), 'text', 7, undefined].map(errorMessage), [
      'no',
      'text',
      '7',
      'undefined',
    ]);
  });

  test('adds the causes, outermost first', () => {
    const refused = new Error('connect ECONNREFUSED 10.0.0.1:80');
    const failed = new TypeError('fetch failed', { cause: refused });
    assert.equal(
      errorMessage(new Error('the search failed', { cause: failed })),
      'the search failed (cause: fetch failed) (cause: connect ECONNREFUSED 10.0.0.1:80)',
    );
    assert.equal(errorMessage(new Error('no', { cause: 'a reason' })), 'no (cause: a reason)');
  });

  test('does not repeat a cause that the message quotes', () => {
    assert.equal(
      errorMessage(new Error('cannot load: bad', { cause: new Error('bad') })),
      'cannot load: bad',
    );
  });

  test('ends after five causes and 2,000 characters, even in a cycle', () => {
    const cycle = new Error('first');
    cycle.cause = new Error('second', { cause: cycle });
    assert.equal(errorMessage(cycle), 'first (cause: second)');
    const deep = Array.from({ length: 10 }, (_, depth) => `level ${depth}`).reduce<Error | undefined>(
      (cause, message) => new Error(message, { cause }),
      undefined,
    );
    assert.equal(errorMessage(deep).match(/cause/g)?.length, 5);
    assert.equal(errorMessage(new Error('x'.repeat(5000))).length, 2000);
  });
});
