/** The number of wake-ups that a worker holds in pull mode (services/worker/intake/pull.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { TurnMessage } from '#shared/gcp/pubsub.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { startPubSubEmulator } from '#services/local/pubsub-emulator/emulator.ts';
import { pullWakeups } from '#services/worker/intake/pull.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { Inbox } from '../../support/pubsub/inbox.ts';
import { Kit } from '../../support/pubsub/kit.ts';

test('receives as many wake-ups as the worker has room for', { timeout: 60_000 }, async (t) => {
  const emulator = await startPubSubEmulator({ port: 0 });
  const kit = new Kit(emulator.host, undefined, []);
  const { db } = await connectToTestDatabase();
  const { topic, subscription } = await kit.createPair();
  const { subscription: deadLetterSubscription } = await kit.createPair();
  const name = (full: string) => full.split('/').at(-1) ?? '';
  const config = {
    project: 'contract',
    topic: name(topic),
    subscription: name(subscription),
    deadLetterSubscription: name(deadLetterSubscription),
    emulatorHost: emulator.host,
  };
  process.env['PUBSUB_EMULATOR_HOST'] = emulator.host;
  t.after(() => delete process.env['PUBSUB_EMULATOR_HOST']);
  const concurrency = 300;
  const wakeups = Array.from({ length: concurrency }, () => JSON.stringify({ taskId: uuidv7(), turn: 1 }));
  await kit.publish(topic, ...wakeups);
  const messages = new Inbox<TurnMessage>();
  const consumer = { onTurn: (message: TurnMessage) => messages.push(message) };
  const sources = pullWakeups(db, config, concurrency, consumer, createLogger('test', 'silent'));
  t.after(async () => {
    await Promise.all(sources.map((source) => source.close()));
    await kit.close();
    await emulator.close();
  });
  // No wake-up is acknowledged before all have arrived.
  const received = await messages.take(concurrency);
  assert.equal(new Set(received.map(({ taskId }) => taskId)).size, concurrency);
  for (const message of received) message.ack();
});
