/** The bounds of a worker's memory: budget, watch, isolation of turns that crashed, and downloads. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createBatcher } from '#shared/db/client/batcher.ts';
import { estimateHeapBytes } from '#shared/db/turns/input/heap-estimate.ts';
import { FatalError, ParkedError } from '#shared/domain/errors.ts';
import { createDownloads, type DownloadLimits } from '#services/worker/agent/files/downloads.ts';
import { MemoryBudget } from '#services/worker/turn/memory-budget.ts';
import { createMemoryWatch } from '#services/worker/turn/memory-watch.ts';
import { isSuspect, Suspects } from '#services/worker/turn/suspects.ts';
import { unreportedWaits } from '../../support/agents/partner-waits.ts';

describe('the memory budget', () => {
  test('lets a turn wait until others return their memory', async () => {
    const budget = new MemoryBudget(100);
    const [first, second] = [budget.open(), budget.open()];
    await first.take(60);
    let granted = false;
    const waiting = second.take(60).then(() => (granted = true));
    await nextTurn();
    assert.equal(granted, false);
    first.release();
    await waiting;
  });

  test('gives a turn that needs more than there is the whole memory', async () => {
    const budget = new MemoryBudget(100);
    const [large, small] = [budget.open(), budget.open()];
    await large.take(300);
    const waiting = small.take(1);
    large.release();
    await waiting;
  });

  test('parks a turn that waits too long', async () => {
    const budget = new MemoryBudget(100, 1);
    await budget.open().take(100);
    await assert.rejects(budget.open().take(1), ParkedError);
  });

  test('ends a wait with the reason of an abort, and serves the next one', async () => {
    const budget = new MemoryBudget(100);
    const holder = budget.open();
    await holder.take(50);
    const controller = new AbortController();
    const aborted = budget.open(controller.signal).take(80);
    const next = budget.open().take(40);
    controller.abort(new Error('canceled'));
    await assert.rejects(aborted, /canceled/);
    await next;
  });
});

describe('a closed reservation', () => {
  test('refuses its own waiter and later requests, and serves others', async () => {
    const budget = new MemoryBudget(100);
    const [ended, other, next] = [budget.open(), budget.open(), budget.open()];
    await other.take(30);
    await ended.take(60);
    const late = ended.take(50);
    const served = next.take(70);
    ended.close();
    await assert.rejects(late, /the turn has ended/);
    await served;
    await assert.rejects(ended.take(1), /the turn has ended/);
    next.close();
    await budget.open().take(70);
  });
});

describe('the memory watch', () => {
  test('stops claims near the limit, except in a worker without turns', () => {
    const watch = createMemoryWatch(() => 0.9);
    assert.deepEqual([watch.mayClaim(0), watch.mayClaim(1)], [true, false]);
  });

  test('measures this process', () => {
    const { usedShare, mayClaim } = createMemoryWatch();
    assert.ok(usedShare > 0 && usedShare < 1, String(usedShare));
    assert.equal(mayClaim(1), true);
  });
});

describe('a turn is a suspect', () => {
  for (const [attempts, crashed, maxAttempts, expected] of [
    [1, false, 5, false],
    [2, true, 5, false],
    [3, true, 5, true],
    [3, false, 5, false],
    [2, true, 2, true],
    [1, true, 1, false],
  ] as const) {
    const when = `attempt ${attempts} of ${maxAttempts} follows ${crashed ? 'a crash' : 'an answer'}`;
    test(`${expected ? 'when' : 'not when'} ${when}`, () => {
      assert.equal(isSuspect({ attempts, crashed }, maxAttempts), expected);
    });
  }

  test('and runs alone until it is cleared', () => {
    const suspects = new Suspects();
    const first = suspects.enter();
    assert.equal(suspects.enter(), undefined);
    assert.equal(first?.isCleared, false);
    first?.clear();
    assert.equal(first?.isCleared, true);
    assert.ok(suspects.enter());
    first?.clear();
    assert.equal(suspects.enter(), undefined);
  });
});

describe('the downloads of a worker', () => {
  /** Fetches that end when the test says so. */
  function createSlowFetcher() {
    const running: (() => void)[] = [];
    return {
      running,
      fetch: async (_url: string, _signal: AbortSignal, admit = async (_bytes: number) => {}) => {
        await admit(100);
        await new Promise<void>((resolve) => running.push(resolve));
        return { content: Buffer.alloc(100), mediaType: undefined };
      },
      close: async () => undefined,
    };
  }
  const { signal } = new AbortController();
  const memory = async (): Promise<void> => undefined;
  const open = (owner: string, limits: Partial<DownloadLimits>, fetcher = createSlowFetcher()) =>
    createDownloads(fetcher, { concurrency: 4, maxTurnFiles: 100, maxTurnBytes: 1000, ...limits })(
      owner,
      memory,
      unreportedWaits,
    );

  test('leave half of the slots to other owners', async () => {
    const fetcher = createSlowFetcher();
    const openTurn = createDownloads(fetcher, { concurrency: 4, maxTurnFiles: 100, maxTurnBytes: 10_000 });
    const greedy = Array.from({ length: 10 }, () =>
      openTurn('eve', memory, unreportedWaits).fetch('u', signal),
    );
    await nextTurn();
    assert.equal(fetcher.running.length, 2);
    const others = Array.from({ length: 3 }, () =>
      openTurn('ada', memory, unreportedWaits).fetch('u', signal),
    );
    await nextTurn();
    assert.equal(fetcher.running.length, 4);
    for (let ended = 0; ended < greedy.length + others.length;) {
      const ending = fetcher.running.splice(0);
      assert.ok(ending.length > 0 && ending.length <= 4, `${ending.length} downloads at once`);
      for (const end of ending) end();
      ended += ending.length;
      await nextTurn();
    }
    await Promise.all([...greedy, ...others]);
  });

  test('end with the number of files that one turn may fetch', async () => {
    const turn = open('ada', { maxTurnFiles: 1 });
    turn.addRecorded(1);
    await assert.rejects(turn.fetch('u', signal), (error: Error) => {
      assert.ok(error instanceof FatalError);
      assert.match(error.message, /at most 1 by URL are accepted/);
      return true;
    });
  });

  test('end with the bytes that one turn may fetch', async () => {
    const turn = open('ada', { maxTurnBytes: 150 });
    await turn.addStored(51);
    await assert.rejects(turn.fetch('u', signal), /one turn can fetch at most 150 bytes/);
  });
});

describe('the estimate of parsed JSON', () => {
  test('is at least what small objects take', () => {
    assert.ok(estimateHeapBytes(`[${'{},'.repeat(1000)}{}]`) > 1000 * 64);
  });

  test('is about twice the size of plain text', () => {
    assert.equal(estimateHeapBytes(JSON.stringify('x'.repeat(1000))), 2 * 1002);
    assert.equal(estimateHeapBytes(JSON.stringify('"{[,:'.repeat(200))), 2 * 1202, 'with punctuation');
  });
});

test('a batcher sends no more than the maximum size at once, and larger calls alone', async () => {
  const sets: number[][] = [];
  const run = createBatcher(
    async (sizes: readonly number[]) => {
      sets.push([...sizes]);
      return sizes;
    },
    { max: 10, size: (size) => size, maxSize: 100 },
  );
  await Promise.all([60, 30, 30, 500, 1].map((size) => run(size)));
  assert.deepEqual(sets, [[60, 30, 1], [30], [500]]);
});
