/** Turns on Pub/Sub: a message is `{taskId, turn}` and trace context, and nothing depends on it (invariant 2). */
import { setTimeout } from 'node:timers/promises';
import type { Message, PubSub, Subscription } from '@google-cloud/pubsub';
import type { Context } from '@opentelemetry/api';
import { isUuid } from '../domain/ids.ts';
import type { TurnWakeup } from '../domain/wakeup.ts';
import type { PubSubConfig } from '../runtime/config/common.ts';
import type { Logger } from '../runtime/log.ts';
import { inProducerSpans } from '../runtime/spans.ts';

/** The client is large: it is loaded when it is first needed, so that services start quickly. */
const load = () => import('@google-cloud/pubsub');
const loadStandIn = () => import('./emulator.ts');

/** A wakeup and the context in which it is rung, for its span. */
export type TracedWakeup = TurnWakeup & { parent: Context };

/** Wakes workers for turns: messages on Pub/Sub, in one call. Resolves when the service has taken them. */
export type PublishTurns = (wakeups: readonly TracedWakeup[]) => Promise<void>;

export interface TurnPublisher {
  publishTurns: PublishTurns;
  /** Loads the client before there is something to publish: the process does nothing else meanwhile. */
  open(): void;
  close(): Promise<void>;
}

const publishTimeoutMs = 10_000;

/** Publishes a set in one call. The client's own batching waits for a millisecond at least. */
export function createTurnPublisher(config: PubSubConfig): TurnPublisher {
  let opening: ReturnType<typeof openPublisher> | undefined;
  const open = () => (opening ??= openPublisher(config));
  const topic = `projects/${config.project}/topics/${config.topic}`;
  return {
    publishTurns: async (wakeups) => {
      const sent = wakeups.map(({ taskId, turn, traceparent, parent }) => ({
        attributes: { 'messaging.system': 'gcp_pubsub', 'longhaul.task.id': taskId, 'longhaul.turn': turn },
        left: traceparent,
        parent,
      }));
      await inProducerSpans(config.topic, sent, async (traceparents) => {
        const messages = wakeups.map(({ taskId, turn }, index) => {
          const traceparent = traceparents[index] ?? null;
          return {
            data: Buffer.from(JSON.stringify({ taskId, turn })),
            ...(traceparent !== null && { attributes: { traceparent } }),
          };
        });
        await (await open()).publish({ topic, messages }, { timeout: publishTimeoutMs });
      });
    },
    open: () => void open(),
    close: async () => (await opening)?.close(),
  };
}

async function openPublisher({ project, emulatorHost }: PubSubConfig) {
  const { v1 } = await load();
  return new v1.PublisherClient({
    projectId: project,
    ...(emulatorHost !== undefined && (await loadStandIn()).createEmulatorOptions(emulatorHost)),
  });
}

/** Of a message: when it was sent, in milliseconds since 1970, and by which span. */
export interface PublishInfo {
  at: number;
  traceparent: string | undefined;
}

/** One delivery of a turn's wakeup. */
export interface TurnMessage {
  taskId: string;
  turn: number;
  sent: PublishInfo;
  ack: () => void;
  /** Has it delivered again, to this or another worker. */
  nack: () => void;
}

export interface TurnSubscription {
  /** Resolves when no more messages come; those not acknowledged are given back. */
  close(): Promise<void>;
}

/**
 * Pulls the wakeups of turns. A message that is not one is logged and acknowledged: it would come again for ever.
 *
 * @param maxMessages messages at most that wait for `ack` or `nack`
 */
export function pullTurns(
  config: PubSubConfig,
  options: { subscription: string; maxMessages: number },
  onTurn: (message: TurnMessage) => void,
  log: Logger,
): TurnSubscription {
  const client = openPuller(config);
  let closed = false;
  let subscription = open();

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

  /** The client gives up on errors such as a missing subscription; it is opened again until it is there. */
  async function reopen(failed: Subscription, error: Error): Promise<void> {
    log.error({ error: error.message, subscription: options.subscription }, 'pulling from Pub/Sub failed');
    failed.removeAllListeners('message');
    await failed.close().catch(() => undefined);
    await setTimeout(reopenMs, undefined, { ref: false });
    if (!closed) subscription = open();
  }

  function receive(message: Message): void {
    const turn = parseTurn(message.data);
    if (turn === undefined) {
      log.error(
        { messageId: message.id },
        'a message on the subscription is not {taskId, turn}; it was dropped',
      );
      message.ack();
      return;
    }
    const sent = { at: message.publishTime.getTime(), traceparent: message.attributes['traceparent'] };
    onTurn({ ...turn, sent, ack: () => message.ack(), nack: () => message.nack() });
  }

  return {
    close: async () => {
      closed = true;
      await (await subscription).close();
      await (await client).close();
    },
  };
}

async function openPuller({ project, emulatorHost }: PubSubConfig): Promise<PubSub> {
  const { PubSub } = await load();
  return new PubSub({
    projectId: project,
    ...(emulatorHost !== undefined && {
      authClient: (await loadStandIn()).createEmulatorOptions(emulatorHost).authClient,
    }),
  });
}

const reopenMs = 1_000;

/** @returns undefined where the data is not that of a turn's wakeup */
export function parseTurn(data: Buffer): { taskId: string; turn: number } | undefined {
  try {
    const { taskId, turn } = JSON.parse(data.toString()) as { taskId?: unknown; turn?: unknown };
    return typeof taskId === 'string' && isUuid(taskId) && typeof turn === 'number'
      ? { taskId, turn }
      : undefined;
  } catch {
    return undefined;
  }
}
