/** The Pub/Sub emulator of this repository keeps the contract of the service. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { testContract } from '../../support/pubsub/contract.ts';
import { startLocalEmulator } from '../../support/pubsub/emulators.ts';
import { Kit } from '../../support/pubsub/kit.ts';

describe('Pub/Sub emulator', { concurrency: true }, () => {
  testContract('local', startLocalEmulator);

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
