import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { LoopWait } from '#shared/runtime/loop-wait.ts';

/** A clock, with a timer that is late by what the test says. */
function createClock(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let now = 1000;
  const wait = new LoopWait(() => now);
  return {
    wait,
    /** The loop is busy for a time, and then the timer fires. */
    pass: (ms: number): void => {
      now += ms;
      t.mock.timers.tick(5);
    },
    advance: (ms: number): void => void (now += ms),
  };
}

describe('the wait for the event loop', () => {
  test('is 0 while timers are on time', (t) => {
    const { wait, pass } = createClock(t);
    assert.equal(wait.read(), 0);
    for (let n = 0; n < 20; n++) pass(5);
    assert.equal(wait.read(), 0);
  });

  test('is the mean wait of a request at a random moment', (t) => {
    const { wait, pass } = createClock(t);
    wait.read();
    // A fifth of the time the loop is busy, for 10 ms each: a request waits 5 ms with a chance of 1/5.
    for (let n = 0; n < 10; n++) {
      pass(15);
      for (let m = 0; m < 7; m++) pass(5);
    }
    assert.equal(wait.read(), 1);
  });

  test('forgets a long pause within two seconds', (t) => {
    const { wait, pass } = createClock(t);
    wait.read();
    pass(1_500);
    assert.equal(wait.read(), 2);
    for (let n = 0; n < 400; n++) {
      pass(5);
      wait.read();
    }
    assert.ok(wait.read() < 0.05, String(wait.read()));
  });

  test('does not count what is excluded', (t) => {
    const { wait, pass, advance } = createClock(t);
    wait.read();
    for (let n = 0; n < 10; n++) {
      wait.exclude();
      pass(55);
      advance(10);
      wait.include();
      pass(5);
    }
    assert.equal(wait.read(), 0);
    pass(105);
    assert.ok(wait.read() > 0);
  });

  test('is averaged over half a second, and measured for 50 ms at a time', (t) => {
    const { wait, pass } = createClock(t);
    wait.read();
    pass(45);
    assert.equal(wait.read(), 0);
    pass(5);
    assert.equal(wait.read(), 2);
    for (let n = 0; n < 100; n++) {
      pass(5);
      wait.read();
    }
    assert.ok(Math.abs(wait.read() - 2 / Math.E) < 0.01, String(wait.read()));
  });

  test('starts again after two seconds without a read', (t) => {
    const { wait, pass } = createClock(t);
    const stop = t.mock.method(globalThis, 'clearInterval');
    wait.read();
    pass(1005);
    assert.equal(wait.read(), 2);
    for (let n = 0; n < 399; n++) pass(5);
    assert.equal(stop.mock.callCount(), 0);
    pass(1000);
    assert.equal(stop.mock.callCount(), 1);
    assert.equal(wait.read(), 0);
    for (let n = 0; n < 10; n++) pass(5);
    assert.equal(wait.read(), 0);
  });
});
