/** Channels to Pub/Sub and Cloud Tasks that go silent are replaced. */
import { describe, test } from 'node:test';
import { context } from '@opentelemetry/api';
import { uuidv7 } from '#shared/domain/ids.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createTurnPublisher, pullTurns, type TurnMessage } from '#shared/gcp/pubsub.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { startCloudTasksEmulator } from '#services/local/cloud-tasks-emulator/server.ts';
import { startPubSubEmulator } from '#services/local/pubsub-emulator/emulator.ts';
import { createCleanup } from '../../support/cleanup.ts';
import { Kit } from '../../support/pubsub/kit.ts';
import { startSilentProxy, type SilentProxy } from '../../support/network/silent-proxy.ts';
import { waitFor } from '../../support/wait-for.ts';
import { createQueue } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';

const keepalive = {
  'grpc.keepalive_time_ms': 500,
  'grpc.keepalive_timeout_ms': 500,
  'grpc.keepalive_permit_without_calls': 1,
} as const;

const succeeds = (call: () => Promise<void>): Promise<boolean> =>
  call().then(
    () => true,
    () => false,
  );

/** Makes the next connection silent as well, while a client makes calls. */
async function connectInVain(proxy: SilentProxy, call: () => Promise<unknown>): Promise<void> {
  proxy.setMute(true);
  const calls = waitFor('a silent connection', async () => {
    await call();
    return proxy.muted > 0;
  });
  await waitFor('a silent connection', () => proxy.muted > 0);
  proxy.setMute(false);
  await calls;
}

describe('a channel that goes silent, and so does the next connection', () => {
  test('to Pub/Sub is replaced for publishing and for pulling', async (t) => {
    const emulator = await startPubSubEmulator({ port: 0 });
    const kit = new Kit(emulator.host, undefined, []);
    const { topic, subscription } = await kit.createPair();
    const [host = '', port] = emulator.host.split(':');
    const cleanup = createCleanup();
    t.after(() => cleanup.run());
    const proxy = await startSilentProxy(cleanup, { host, port: Number(port) });
    const name = (full: string) => full.split('/').at(-1) ?? '';
    const config = {
      project: 'contract',
      topic: name(topic),
      subscription: name(subscription),
      deadLetterSubscription: '',
      emulatorHost: `127.0.0.1:${proxy.port}`,
    };
    process.env['PUBSUB_EMULATOR_HOST'] = config.emulatorHost;
    t.after(() => delete process.env['PUBSUB_EMULATOR_HOST']);
    const publisher = createTurnPublisher(config, keepalive);
    const messages: TurnMessage[] = [];
    const puller = pullTurns(
      config,
      { subscription: config.subscription, maxMessages: 10 },
      (message) => {
        message.ack();
        messages.push(message);
      },
      createLogger('test', 'silent'),
      keepalive,
    );
    cleanup.after(async () => {
      await Promise.all([puller.close(), publisher.close(), kit.close()]);
      await emulator.close();
    });
    const publish = (taskId: string) =>
      publisher.publishTurns([
        { id: '1', kind: 'turn', taskId, turn: 1, owner: 'ada', traceparent: null, parent: context.active() },
      ]);
    await publish(uuidv7());
    await waitFor('a wake-up', () => messages.length > 0);
    proxy.silence();
    await connectInVain(proxy, () => succeeds(() => publish(uuidv7())));
    messages.length = 0;
    // The server still delivers some wake-ups to the stream that has gone silent.
    await waitFor('a wake-up after the silence', async () => {
      await succeeds(() => publish(uuidv7()));
      return messages.length > 0;
    });
  });

  test('to Cloud Tasks is replaced', async (t) => {
    const emulator = await startCloudTasksEmulator({ port: 0 });
    const receiver = await startReceiver(t);
    await createQueue(emulator.port);
    const proxy = await startSilentProxy(t, { host: '127.0.0.1', port: emulator.port });
    const scheduler = createDeliveryScheduler(
      {
        project: 'p',
        location: 'us-central1',
        queues: ['q'],
        dispatcherUrl: receiver.url,
        serviceAccount: undefined,
        emulatorHost: `127.0.0.1:${proxy.port}`,
      },
      keepalive,
    );
    t.after(async () => {
      await scheduler.close();
      await emulator.close();
    });
    const schedule = (id: string) =>
      scheduler.scheduleDeliveries([{ id, taskId: 'task', configId: 'config', dueAt: new Date() }]);
    await schedule('1');
    await receiver.count(1);
    proxy.silence();
    await connectInVain(proxy, () => succeeds(() => schedule('2')));
    await waitFor('a delivery to be scheduled', () => succeeds(() => schedule('2')));
    await receiver.count(2);
  });
});
