/** One contract for Pub/Sub, written from the documentation of the service, for any server that claims to keep it. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { testAdministration } from './administration.ts';
import { testDelivery } from './delivery.ts';
import type { Difference } from './differences.ts';
import type { RunningEmulator } from './emulators.ts';
import { testFilters } from './filters.ts';
import { Kit } from './kit.ts';
import { testPush } from './push.ts';

/**
 * Defines the tests of the contract.
 *
 * @param differences where the server is known to differ, which is asserted
 * @param missing why the server cannot run on this machine
 */
export function testContract(
  name: string,
  start: () => Promise<RunningEmulator>,
  differences: readonly Difference[] = [],
  missing?: string,
): void {
  describe(name, { concurrency: true, timeout: 60_000, skip: missing ?? false }, () => {
    let emulator: RunningEmulator;
    let kit: Kit;
    before(async () => {
      emulator = await start();
      kit = new Kit(emulator.host, emulator.jwksUrl, differences);
    });
    after(async () => {
      await kit.close();
      await emulator.stop();
      assert.deepEqual(kit.unasserted(), [], 'these differences are listed but not asserted');
    });
    testDelivery(() => kit);
    testPush(() => kit);
    testFilters(() => kit);
    testAdministration(() => kit);
  });
}
