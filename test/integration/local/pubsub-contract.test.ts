/**
 * Runs one contract for Pub/Sub, written from the documentation of the service, against the emulator of this repository
 * and against Google's emulator if that is installed. Differences of Google's emulator are listed in `differences.ts`
 * and asserted.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { testAdministration } from '../../support/pubsub-contract/administration.ts';
import { testDelivery } from '../../support/pubsub-contract/delivery.ts';
import { GOOGLE_EMULATOR_DIFFERS, type Difference } from '../../support/pubsub-contract/differences.ts';
import {
  findMissingCommands,
  startGoogleEmulator,
  startLocalEmulator,
  type RunningEmulator,
} from '../../support/pubsub-contract/emulators.ts';
import { testFilters } from '../../support/pubsub-contract/filters.ts';
import { Kit } from '../../support/pubsub-contract/kit.ts';
import { testPush } from '../../support/pubsub-contract/push.ts';

const missing = findMissingCommands();
const googleDiffers = Object.keys(GOOGLE_EMULATOR_DIFFERS) as Difference[];

describe('Pub/Sub emulator', { concurrency: true }, () => {
  testContract('local', startLocalEmulator, []);
  testContract("Google's", startGoogleEmulator, googleDiffers, missing);

  test('stops on SIGTERM and ends its streams with CANCELLED or UNAVAILABLE', async () => {
    const emulator = await startLocalEmulator();
    const kit = new Kit(emulator.host, emulator.jwksUrl, []);
    const { subscription } = await kit.createPair();
    const stream = kit.openStream(subscription);
    await stream.responses.next();
    const start = performance.now();
    assert.equal(await emulator.stop(), 0);
    assert.ok(performance.now() - start < 10_000);
    const { code } = await stream.ended;
    assert.ok(code === status.CANCELLED || code === status.UNAVAILABLE, `status ${code}`);
    await kit.close();
  });
});

function testContract(
  name: string,
  start: () => Promise<RunningEmulator>,
  differences: readonly Difference[],
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
