/** The usage of an owner as one process of the api knows it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { OwnerUsageView } from '#services/api/limits/owner-usage-view.ts';

test('counts amounts once that are added to the database during a read', async () => {
  const database = { openTasks: 0, storedBytes: 0, webhookConfigs: 0, modelCostPerDay: 0 };
  let pending = { storedBytes: 10, webhookConfigs: 1 };
  let version = 0;
  let reads = 0;
  const view = new OwnerUsageView({
    read: async () => {
      reads += 1;
      if (reads === 1) {
        Object.assign(database, pending);
        pending = { storedBytes: 0, webhookConfigs: 0 };
        version += 1;
      }
      return { usage: { ...database }, ms: 1 };
    },
    getPending: () => pending,
    getVersion: () => version,
    settled: async () => undefined,
  });
  await view.refresh();
  assert.deepEqual([view.getUsed('storedBytes'), view.getUsed('webhookConfigs'), reads], [10, 1, 2]);
});

test('is read again soon unless that occupies the database', async () => {
  const usage = { openTasks: 0, storedBytes: 0, webhookConfigs: 0, modelCostPerDay: 0 };
  for (const [ms, minAge] of [
    [2, 100],
    [1_000, 5_000],
  ] as const) {
    const view = new OwnerUsageView({
      // A busy process gets the answer late.
      read: async () => {
        await sleep(20);
        return { usage, ms };
      },
      getPending: () => ({ storedBytes: 0, webhookConfigs: 0 }),
      getVersion: () => 0,
      settled: async () => undefined,
    });
    await view.refresh();
    assert.equal(view.minAge, minAge);
  }
});
