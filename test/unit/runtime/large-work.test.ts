import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LargeWork } from '#shared/runtime/large-work.ts';
import { LoopWait } from '#shared/runtime/loop-wait.ts';

describe('large work', () => {
  test('starts one piece in each iteration of the event loop', async () => {
    const work = new LargeWork();
    let iteration = 0;
    let isDone = false;
    const count = (): void => {
      iteration += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    const started = await Promise.all(
      Array.from({ length: 5 }, async (_, index) => {
        await work.start(`caller ${index % 2}`);
        return iteration;
      }),
    );
    isDone = true;
    assert.equal(new Set(started).size, 5);
  });

  for (const steps of [0, 5]) {
    test(`rests for twice as long as a piece took that starts ${steps} promises later`, async () => {
      const work = new LargeWork();
      const pieceMs = 15;
      let endedAt = 0;
      const rests: number[] = [];
      const run = async (): Promise<void> => {
        await work.start('a');
        for (let step = 0; step < steps; step++) await Promise.resolve();
        const startedAt = performance.now();
        if (endedAt > 0) rests.push(startedAt - endedAt);
        while (performance.now() < startedAt + pieceMs);
        endedAt = performance.now();
      };
      await Promise.all([run(), run()]);
      await run();
      assert.ok(
        rests.every((ms) => ms >= 2 * pieceMs - 2),
        rests.join(),
      );
    });
  }

  for (const [waitMs, factor] of [
    [0.01, 2],
    [0.2, 8],
    [30, 20],
  ] as const) {
    test(`rests ${factor} times as long as a piece took if small work waits ${waitMs} ms`, async (t) => {
      const wait = new LoopWait();
      t.mock.method(wait, 'read', () => waitMs);
      const timer = t.mock.method(globalThis, 'setTimeout');
      const work = new LargeWork(() => 0, wait);
      work.count(10);
      await work.start('a');
      assert.deepEqual(
        timer.mock.calls.map(({ arguments: [, ms] }) => ms),
        [10 * factor],
      );
    });
  }

  test('rests whole milliseconds after the longest work, up to a limit', async (t) => {
    const wait = new LoopWait();
    t.mock.method(wait, 'read', () => 0);
    const timer = t.mock.method(globalThis, 'setTimeout');
    for (const [works, restMs] of [
      [[10.3], 21],
      [[40, 5], 80],
      [[5, 40], 80],
      [[5_000], 200],
    ] as const) {
      const work = new LargeWork(() => 0, wait);
      for (const ms of works) work.count(ms);
      await work.start('a');
      assert.equal(timer.mock.calls.at(-1)?.arguments[1], restMs);
    }
  });

  test('does not measure the waits that its own pieces cause', async (t) => {
    const wait = new LoopWait();
    const events: string[] = [];
    for (const name of ['exclude', 'include'] as const) t.mock.method(wait, name, () => events.push(name));
    const work = new LargeWork(undefined, wait);
    for (let n = 0; n < 2; n++) {
      await work.start('a');
      await Promise.resolve();
      events.push('piece');
    }
    await new Promise(setImmediate);
    assert.deepEqual(events, ['exclude', 'piece', 'include', 'exclude', 'piece', 'include']);
  });

  test('rests after work that did not wait as after a piece', async () => {
    const work = new LargeWork();
    // A timer starts at the time of its iteration of the event loop.
    await new Promise(setImmediate);
    const startedAt = performance.now();
    work.count(20);
    await work.start('a');
    assert.ok(performance.now() - startedAt >= 39, String(performance.now() - startedAt));
  });

  test('processes many small items together, and as few pieces as their size requires', async (t) => {
    const work = new LargeWork();
    const start = t.mock.method(work, 'start');
    const KiB = 1024;
    const process = async (...sizes: number[]): Promise<number> => {
      const before = start.mock.callCount();
      const nextItem = work.pieces('a');
      for (const size of sizes) await nextItem(size * KiB);
      return start.mock.callCount() - before;
    };
    assert.equal(await process(30, 30), 0);
    assert.equal(await process(30, 30, 30), 1);
    assert.equal(await process(100, 100, 100, 100), 2);
    assert.equal(await process(1000, 1, 1000), 3);
  });

  test('takes callers in turn, and the pieces of a caller in order', async () => {
    const work = new LargeWork();
    const order: string[] = [];
    const start = async (name: string, piece: number): Promise<void> => {
      await work.start(name);
      order.push(`${name}${piece}`);
    };
    await Promise.all([
      start('a', 1),
      start('a', 2),
      start('a', 3),
      start('b', 1),
      start('b', 2),
      start('c', 1),
    ]);
    assert.deepEqual(order, ['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
    await start('a', 4);
    assert.equal(order.at(-1), 'a4');
  });
});
