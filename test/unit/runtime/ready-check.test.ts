/** The readiness check that all probes share. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { shareReadyCheck } from '#shared/runtime/health.ts';

describe('a shared readiness check', () => {
  test('runs once for probes at the same time', async () => {
    let runs = 0;
    const pending = Promise.withResolvers<void>();
    const ready = shareReadyCheck(() => {
      runs += 1;
      return pending.promise;
    });
    const probes = Array.from({ length: 1000 }, () => ready());
    pending.resolve();
    await Promise.all(probes);
    assert.equal(runs, 1);
  });

  test('runs again when its answer is a second old', async () => {
    let now = 0;
    let runs = 0;
    const ready = shareReadyCheck(
      async () => {
        runs += 1;
      },
      () => now,
    );
    for (; now < 2_000; now += 100) await ready();
    assert.equal(runs, 2);
  });

  test('reports a failure, and the recovery within a second', async () => {
    let now = 0;
    let failure: Error | undefined = new Error('the database is unavailable');
    const ready = shareReadyCheck(
      async () => {
        if (failure !== undefined) throw failure;
      },
      () => now,
    );
    await assert.rejects(ready(), failure);
    failure = undefined;
    now = 999;
    await assert.rejects(ready());
    now = 1_000;
    await ready();
  });
});
