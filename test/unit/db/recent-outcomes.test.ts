/** Which outcomes of statements mean that the database does not serve them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RecentOutcomes } from '#shared/db/client/recent-outcomes.ts';

describe('recent outcomes', () => {
  function start() {
    const clock = { now: 5_000 };
    const outcomes = new RecentOutcomes(() => clock.now);
    const add = (succeeded: number, failed: number): number | undefined => {
      for (let count = 0; count < succeeded; count++) outcomes.succeeded();
      for (let count = 0; count < failed; count++) outcomes.failed();
      return outcomes.getFailures();
    };
    return { clock, add };
  }

  test('count as healthy while fewer than three statements fail', () => {
    assert.equal(start().add(0, 2), undefined);
  });

  test('count as healthy while most statements succeed', () => {
    assert.equal(start().add(11, 10), undefined);
  });

  test('count as a failure while at least half of the statements fail', () => {
    assert.equal(start().add(3, 3), 3);
  });

  test('count as a failure until at most a fifth of the statements fail', () => {
    const { add } = start();
    add(0, 3);
    assert.equal(add(11, 0), 3);
    assert.equal(add(1, 0), undefined);
    assert.equal(add(0, 3), undefined, 'and become one again only when half of them fail');
  });

  test('are forgotten after ten seconds', () => {
    const { clock, add } = start();
    add(0, 3);
    clock.now += 9_000;
    assert.equal(add(0, 0), 3);
    clock.now += 1_000;
    assert.equal(add(0, 0), undefined);
  });
});
