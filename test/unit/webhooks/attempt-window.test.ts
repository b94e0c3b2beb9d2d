/** How the number of attempts at a host adapts to its answers, with times that the test sets. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AttemptWindow } from '#services/dispatcher/schedule/window.ts';

function createWindow(options = { floor: 10, ceiling: 100 }) {
  const window = new AttemptWindow(options);
  let now = 0;
  /** Ends as many attempts as the window has, all of which were sent together. */
  const roundTrip = (ms: number, { up = true, inFlight = window.size } = {}) => {
    const sentAt = now;
    now += ms;
    for (let count = window.size; count > 0; count--) window.ended({ sentAt, endedAt: now, up, inFlight });
    return window.size;
  };
  return { window, roundTrip };
}

describe('AttemptWindow', () => {
  test('doubles with each round trip of successes, up to the ceiling', () => {
    const { roundTrip } = createWindow();
    assert.deepEqual(
      [1, 2, 3, 4].map(() => roundTrip(100)),
      [20, 40, 80, 100],
    );
  });

  test('is halved once for all failures of a round trip, and then grows by one', () => {
    const { roundTrip } = createWindow();
    roundTrip(100);
    roundTrip(100);
    assert.equal(roundTrip(100, { up: false }), 20);
    assert.equal(roundTrip(100), 20);
    assert.equal(roundTrip(100), 21);
  });

  test('falls by a fifth when answers take much longer than usual', () => {
    const { roundTrip } = createWindow();
    roundTrip(100);
    roundTrip(100);
    assert.equal(roundTrip(1_250), 32);
    assert.ok(roundTrip(1_190) >= 32);
  });

  test('never falls below the floor', () => {
    const { roundTrip } = createWindow();
    for (let count = 0; count < 5; count++) assert.equal(roundTrip(100, { up: false }), 10);
  });

  test('does not grow while it is not used', () => {
    const { roundTrip } = createWindow();
    assert.equal(roundTrip(100, { inFlight: 4 }), 10);
  });
});
