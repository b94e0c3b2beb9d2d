import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FairLanes } from '#shared/runtime/fair-lanes.ts';

/** Calls that end when the test says so. */
function createCalls(lanes: FairLanes) {
  const running: { name: string; end: () => void }[] = [];
  const ended: Promise<void>[] = [];
  const start = (name: string): void => {
    ended.push(lanes.run(name, () => new Promise((end) => running.push({ name, end }))));
  };
  const endFirst = async (): Promise<void> => {
    running.shift()?.end();
    for (let n = 0; n < 5; n++) await Promise.resolve();
  };
  return { running: () => running.map(({ name }) => name).join(' '), start, endFirst, ended };
}

describe('fair lanes', () => {
  test('give one caller half of the lanes, and the rest to the next ones', async () => {
    const { running, start, endFirst } = createCalls(new FairLanes(4));
    for (const name of ['a', 'a', 'a', 'a', 'b', 'c', 'd']) start(name);
    assert.equal(running(), 'a a b c');
    await endFirst();
    assert.equal(running(), 'a b c d');
    await endFirst();
    assert.equal(running(), 'b c d a');
  });

  test('start the calls of a caller in order, in turn with those of others', async () => {
    const { running, start, endFirst, ended } = createCalls(new FairLanes(1));
    for (const name of ['a', 'a', 'a', 'b', 'b', 'c']) start(name);
    const order: string[] = [];
    for (let n = 0; n < 6; n++) {
      order.push(running());
      await endFirst();
    }
    assert.equal(order.join(' '), 'a a b c a b');
    await Promise.all(ended);
  });

  test('are free again when a call fails', async () => {
    const lanes = new FairLanes(1);
    await assert.rejects(
      lanes.run('a', () => Promise.reject(new Error('failed'))),
      /failed/,
    );
    assert.equal(await lanes.run('a', async () => 'done'), 'done');
  });
});
