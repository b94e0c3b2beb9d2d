/** Turn wake-ups on Pub/Sub: `{taskId, turn, owner}` and trace context. They are only hints (invariant 2). */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Message, PubSub, Subscription } from '@google-cloud/pubsub';
import type { Context } from '@opentelemetry/api';
import { isUuid } from '../domain/ids.ts';
import type { TurnWakeup } from '../domain/wakeup.ts';
import type { PubSubConfig } from '../runtime/config/common.ts';
import type { Logger } from '../runtime/log.ts';
import { inProducerSpans } from '../runtime/spans.ts';
import { defaultKeepalive, getHandshakeMs, reconnectOptions, type Keepalive } from './keepalive.ts';
import { createReplaceableClient, isConnecting } from './replaceable-client.ts';

/** The client is large. It is loaded when first needed, so that services start quickly. */
const loadClient = () => import('@google-cloud/pubsub');
const loadEmulator = () => import('./emulator.ts');

/** Loads the clients and their protocol ahead of the first use, which takes half a second of CPU. */
export async function preparePubSub(): Promise<void> {
  const [{ v1 }, { createEmulatorOptions }] = await Promise.all([loadClient(), loadEmulator()]);
  // A client reads the protocol when it is created, and connects with its first call.
  const options = createEmulatorOptions('127.0.0.1:1');
  await Promise.all(
    [new v1.PublisherClient(options), new v1.SubscriberClient(options)].map((c) => c.close()),
  );
}

/** A wake-up with the trace context in which it is published. */
export type TracedWakeup = TurnWakeup & { parent: Context };

/** Publishes wake-ups of turns in one call. Resolves when Pub/Sub has accepted all of them. */
export type PublishTurns = (wakeups: readonly TracedWakeup[]) => Promise<void>;

export interface TurnPublisher {
  publishTurns: PublishTurns;
  /** Loads the client ahead of the first publish. Loading blocks the process for a moment. */
  open(): void;
  close(): Promise<void>;
}

const publishTimeoutMs = 10_000;
const reopenMs = 1_000;

/** Publishes each batch in one call. The client's own batching would wait for at least a millisecond. */
export function createTurnPublisher(
  config: PubSubConfig,
  keepalive: Keepalive = defaultKeepalive,
): TurnPublisher {
  const clients = createReplaceableClient({
    open: () => openPublisher(config, keepalive),
    getStub: (client) => client.publisherStub,
    handshakeMs: getHandshakeMs(keepalive),
  });
  const topic = `projects/${config.project}/topics/${config.topic}`;
  return {
    publishTurns: async (wakeups) => {
      const queued = wakeups.map(({ taskId, turn, traceparent, parent }) => ({
        attributes: { 'messaging.system': 'gcp_pubsub', 'longhaul.task.id': taskId, 'longhaul.turn': turn },
        storedTraceparent: traceparent,
        parent,
      }));
      await inProducerSpans(config.topic, queued, async (traceparents) => {
        const messages = wakeups.map(({ taskId, turn, owner, fromQueue }, index) => {
          const traceparent = traceparents[index] ?? null;
          return {
            data: Buffer.from(JSON.stringify({ taskId, turn, owner, fromQueue })),
            ...(traceparent !== null && { attributes: { traceparent } }),
          };
        });
        await clients.call((client) => client.publish({ topic, messages }, { timeout: publishTimeoutMs }));
      });
    },
    open: () => clients.open(),
    close: () => clients.close(),
  };
}

async function openPublisher({ project, emulatorHost }: PubSubConfig, keepalive: Keepalive) {
  const { v1 } = await loadClient();
  return new v1.PublisherClient({
    projectId: project,
    ...keepalive,
    ...reconnectOptions,
    ...(emulatorHost !== undefined && (await loadEmulator()).createEmulatorOptions(emulatorHost)),
  });
}

/** When a message was published, and by which span. */
export interface PublishInfo {
  /** Milliseconds since 1970. */
  at: number;
  traceparent: string | undefined;
}

/** The content of a message that wakes a turn. */
export interface ReceivedTurn {
  taskId: string;
  turn: number;
  /** Undefined in messages that do not name the owner. */
  owner: string | undefined;
  /** See TurnWakeup. */
  fromQueue: boolean;
}

/** One delivery of a turn's wake-up. */
export interface TurnMessage extends ReceivedTurn {
  sent: PublishInfo;
  ack: () => void;
  /** Pub/Sub then redelivers it, to this or another worker. */
  nack: () => void;
}

export interface TurnSubscription {
  /** Resolves when no further message will arrive. Unacknowledged messages are returned to Pub/Sub. */
  close(): Promise<void>;
}

/**
 * Pulls wake-ups of turns. A malformed message is logged and acknowledged, so that it is not redelivered.
 *
 * @param options.maxMessages maximum number of messages that wait for `ack` or `nack`
 */
export function pullTurns(
  config: PubSubConfig,
  options: { subscription: string; maxMessages: number },
  onTurn: (message: TurnMessage) => void,
  log: Logger,
  keepalive: Keepalive = defaultKeepalive,
): TurnSubscription {
  let client = openPuller(config, keepalive);
  let closed = false;
  let subscription = open();
  let wasConnecting = false;
  const watch = setInterval(() => void checkConnection().catch(() => undefined), getHandshakeMs(keepalive));
  watch.unref();

  /** Replaces the client if its channel is still connecting since the last check. */
  async function checkConnection(): Promise<void> {
    const [used, opened] = await Promise.all([client, subscription]);
    const connecting = await isConnecting(getSubscriberStub(used));
    if (connecting && wasConnecting && !closed) {
      wasConnecting = false;
      client = openPuller(config, keepalive);
      await reopen(opened, new Error('the connection was not established in time'));
      await used.close();
    } else {
      wasConnecting = connecting;
    }
  }

  async function open(): Promise<Subscription> {
    const opened = (await client).subscription(options.subscription, {
      flowControl: { maxMessages: options.maxMessages, allowExcessMessages: false },
      batching: { maxMilliseconds: 10 },
      streamingOptions: { maxStreams: 1 },
    });
    opened.on('message', receive);
    opened.on('error', (error: Error) => void reopen(opened, error));
    return opened;
  }

  /** The client stops on errors such as a missing subscription. It is reopened until it works. */
  async function reopen(failed: Subscription, error: Error): Promise<void> {
    log.error({ error: error.message, subscription: options.subscription }, 'pulling from Pub/Sub failed');
    failed.removeAllListeners('message');
    await failed.close().catch(() => undefined);
    await sleep(reopenMs, undefined, { ref: false });
    if (!closed) subscription = open();
  }

  function receive(message: Message): void {
    const turn = parseTurn(message.data);
    if (turn === undefined) {
      log.error({ messageId: message.id }, 'dropped a malformed Pub/Sub message (expected {taskId, turn})');
      message.ack();
      return;
    }
    const sent = { at: message.publishTime.getTime(), traceparent: message.attributes['traceparent'] };
    onTurn({ ...turn, sent, ack: () => message.ack(), nack: () => message.nack() });
  }

  return {
    close: async () => {
      closed = true;
      clearInterval(watch);
      await (await subscription).close();
      await (await client).close();
    },
  };
}

/** Returns the stub with whose channel a client pulls. */
async function getSubscriberStub(client: PubSub): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<{ subscriberStub?: Promise<unknown> }>();
  // Its type demands the parameters of a request too, which it does not read.
  client.getClient_({ client: 'SubscriberClient' } as never, (error, found) => {
    if (error) reject(error);
    else resolve(found as { subscriberStub?: Promise<unknown> });
  });
  return (await promise).subscriberStub;
}

async function openPuller({ project, emulatorHost }: PubSubConfig, keepalive: Keepalive): Promise<PubSub> {
  const { PubSub } = await loadClient();
  return new PubSub({
    projectId: project,
    ...keepalive,
    ...reconnectOptions,
    ...(emulatorHost !== undefined && {
      authClient: (await loadEmulator()).createEmulatorOptions(emulatorHost).authClient,
    }),
  });
}

/** Returns undefined if the data is not a turn's wake-up. */
export function parseTurn(data: Buffer): ReceivedTurn | undefined {
  try {
    const { taskId, turn, owner, fromQueue } = JSON.parse(data.toString()) as Record<string, unknown>;
    if (typeof taskId !== 'string' || !isUuid(taskId) || typeof turn !== 'number') return undefined;
    return {
      taskId,
      turn,
      owner: typeof owner === 'string' && owner !== '' ? owner : undefined,
      fromQueue: fromQueue === true,
    };
  } catch {
    return undefined;
  }
}
