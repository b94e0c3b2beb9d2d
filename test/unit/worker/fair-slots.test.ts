/** How the slots of a worker are shared among owners. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FairSlots } from '#services/worker/intake/fair-slots.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Gives each owner a slot in turn, until none of them has room. */
function fill(slots: FairSlots, ...owners: string[]): number[] {
  while (owners.filter((owner) => slots.take(owner, 1) === 1).length > 0);
  return owners.map((owner) => slots.heldBy(owner));
}

describe('the slots of a worker', () => {
  for (const [size, share, most] of [
    [100, 0.8, 80],
    [10, 0.7, 7],
    [3, 0.8, 2],
    [2, 0.8, 1],
    [1, 0.8, 1],
    [100, 0.01, 1],
    [100, 1, 100],
  ] as const) {
    test(`are ${most} of ${size} for one owner with a share of ${share}`, () => {
      assert.equal(new FairSlots(size, share).take('a', 1_000), most);
      assert.deepEqual(fill(new FairSlots(size, share), 'a'), [most]);
    });
  }

  test('stay free in part for a further owner, however many there are', () => {
    const slots = new FairSlots(100, 0.8);
    const held = fill(slots, 'a', 'b', 'c');
    assert.deepEqual(held, [31, 31, 30]);
    assert.equal(slots.take('d', 1), 1);
  });

  test('go to a waiter once there is memory, although no turn ends', async () => {
    let asked = 0;
    const slots = new FairSlots(1, 1, () => ++asked > 1);
    assert.equal(await slots.acquire('a'), true);
  });

  test('go to the waiting owner with the fewest turns', async () => {
    const slots = new FairSlots(4, 1);
    slots.take('a', 3);
    slots.take('b', 1);
    const granted: string[] = [];
    for (const owner of ['a', 'b', 'c', 'c']) void slots.acquire(owner).then(() => granted.push(owner));
    for (let released = 1; released <= 3; released++) {
      slots.release('a');
      await waitFor('the next grant', () => granted.length === released);
    }
    assert.deepEqual(granted, ['c', 'a', 'b']);
  });

  test('leave half of the places of waiters to other owners', async () => {
    const slots = new FairSlots(1, 1);
    slots.take('a', 1);
    const wait = (owner: string, now = 0): boolean => {
      const mayWait = slots.mayWait(owner, 10, now);
      if (mayWait) void slots.acquire(owner);
      return mayWait;
    };
    assert.equal(wait('b'), true);
    const waits = Array.from({ length: 20 }, () => wait('a'));
    assert.equal(waits.filter(Boolean).length, 5);
    assert.deepEqual([wait('b'), wait('b'), wait('b'), wait('b')], [true, true, false, false]);
    assert.deepEqual([wait('a', 9_999), wait('a', 20_000)], [false, true]);
    slots.close();
  });

  test('give all places of waiters to an owner that is alone', () => {
    const slots = new FairSlots(1, 1);
    slots.take('a', 1);
    const waits = Array.from({ length: 20 }, () => {
      const mayWait = slots.mayWait('a', 10, 0);
      if (mayWait) void slots.acquire('a');
      return mayWait;
    });
    assert.equal(waits.includes(false), false);
    slots.close();
  });

  test('go to the waiters of one owner in order', async () => {
    const slots = new FairSlots(1, 1);
    slots.take('a', 1);
    const granted: number[] = [];
    const waits = [1, 2, 3].map((number) =>
      slots.acquire('a').then(() => {
        granted.push(number);
        slots.release('a');
      }),
    );
    slots.release('a');
    await Promise.all(waits);
    assert.deepEqual(granted, [1, 2, 3]);
  });

  test('are refused to a waiter whose time is over, and to all when closed', async () => {
    const slots = new FairSlots(1, 1);
    slots.take('a', 1);
    assert.equal(await slots.acquire('b', 0), false);
    assert.equal(await slots.acquire('b', 1), false);
    const waiting = slots.acquire('b');
    slots.close();
    assert.equal(await waiting, false);
    slots.release('a');
    assert.equal(await slots.acquire('b'), false);
    await slots.idle();
  });
});
