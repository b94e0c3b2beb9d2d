/** How fast the turns of one owner may store output. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { createOutputPace } from '#services/worker/turn/output/pace.ts';
import { LargeWork } from '#shared/runtime/large-work.ts';

const KiB = 1024;

/** An owner may store 1 KiB a second, and 8 KiB at once. The clock runs on, so that all waits are long next to a pause of the machine. */
function createPace(t: TestContext, perSecond = KiB) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  return createOutputPace(perSecond, new LargeWork());
}

/** Whether a wait is over, without any time passing. */
async function isOver(wait: Promise<void>): Promise<boolean> {
  let over = false;
  void wait.then(() => (over = true));
  for (let n = 0; n < 5; n++) await new Promise(setImmediate);
  return over;
}

describe('the output of one owner', () => {
  const running: AbortSignal[] = [];

  test('waits in line once its bytes are used up', async (t) => {
    const open = createPace(t);
    const [first, second] = [open('ada', running), open('ada', running)];
    assert.ok(await isOver(first.wait(4 * KiB)));
    assert.ok(await isOver(first.wait(36 * KiB)), 'the last one may exceed them');
    const waits = [first.wait(32 * KiB), second.wait(32 * KiB)];
    assert.deepEqual(await Promise.all(waits.map(isOver)), [false, false]);
    t.mock.timers.tick(45_000);
    assert.deepEqual(await Promise.all(waits.map(isOver)), [true, false]);
    t.mock.timers.tick(30_000);
    assert.deepEqual(await Promise.all(waits.map(isOver)), [true, true]);
  });

  test('does not wait for that of others, nor if it is small', async (t) => {
    const open = createPace(t);
    await open('ada', running).wait(60 * KiB);
    assert.ok(await isOver(open('ben', running).wait(32 * KiB)));
    assert.ok(await isOver(open('ada', running).wait(1000)));
  });

  test('stops waiting when its turn ends', async (t) => {
    const ending = new AbortController();
    const pace = createPace(t)('ada', [...running, ending.signal]);
    await pace.wait(60 * KiB);
    const wait = pace.wait(32 * KiB);
    assert.equal(await isOver(wait), false);
    ending.abort();
    assert.ok(await isOver(wait));
    assert.ok(await isOver(pace.wait(32 * KiB)), 'later ones too');
  });

  test('has no limit with a rate of 0', async (t) => {
    const pace = createPace(t, 0)('ada', running);
    await pace.wait(60 * KiB);
    assert.ok(await isOver(pace.wait(32 * KiB)));
  });
});
