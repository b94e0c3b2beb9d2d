/** The real clients of one emulator, and short helpers for the tests of the contract. */
import { credentials } from '@grpc/grpc-js';
import { PubSub, v1, type protos } from '@google-cloud/pubsub';
import type { Difference } from './differences.ts';
import { Inbox } from './inbox.ts';

type Settings = protos.google.pubsub.v1.ISubscription;
export type PulledMessage = protos.google.pubsub.v1.IReceivedMessage;
type StreamRequest = protos.google.pubsub.v1.IStreamingPullRequest;
type StreamResponse = protos.google.pubsub.v1.IStreamingPullResponse;

export const PROJECT = 'projects/contract';

export interface PullStream {
  messages: Inbox<PulledMessage>;
  responses: Inbox<StreamResponse>;
  /** Resolves to the status with which the server ended the stream. */
  ended: Promise<{ code?: number; message: string }>;
  write(request: StreamRequest): void;
  cancel(): void;
}

let names = 0;

/** Returns a new name, so tests do not share resources. */
function createName(kind: 'topics' | 'subscriptions'): string {
  names += 1;
  return `${PROJECT}/${kind}/contract-${names}`;
}

export class Kit {
  readonly pubsub: PubSub;
  readonly publisher: v1.PublisherClient;
  readonly subscriber: v1.SubscriberClient;
  readonly jwksUrl: string | undefined;
  readonly #differences: ReadonlySet<Difference>;
  readonly #consulted = new Set<Difference>();
  readonly #streams = new Set<PullStream>();

  constructor(host: string, jwksUrl: string | undefined, differences: Iterable<Difference>) {
    // Otherwise the clients look for a metadata server on the network.
    process.env.METADATA_SERVER_DETECTION = 'none';
    const port = Number(host.split(':')[1]);
    const raw = {
      apiEndpoint: '127.0.0.1',
      port,
      sslCreds: credentials.createInsecure(),
      projectId: 'contract',
    };
    this.pubsub = new PubSub({ projectId: 'contract', apiEndpoint: host, emulatorMode: true });
    this.publisher = new v1.PublisherClient(raw);
    this.subscriber = new v1.SubscriberClient(raw);
    this.jwksUrl = jwksUrl;
    this.#differences = new Set(differences);
  }

  /** Whether this emulator is known to differ from the service. */
  differs(difference: Difference): boolean {
    this.#consulted.add(difference);
    return this.#differences.has(difference);
  }

  /** Returns the known differences that no test has asserted. */
  unasserted(): Difference[] {
    return [...this.#differences].filter((difference) => !this.#consulted.has(difference));
  }

  async createTopic(): Promise<string> {
    const name = createName('topics');
    await this.publisher.createTopic({ name });
    return name;
  }

  async createSubscription(topic: string, settings: Settings = {}): Promise<string> {
    const name = createName('subscriptions');
    await this.subscriber.createSubscription({ ...settings, name, topic });
    return name;
  }

  /** Creates a topic with one subscription. */
  async createPair(settings: Settings = {}): Promise<{ topic: string; subscription: string }> {
    const topic = await this.createTopic();
    return { topic, subscription: await this.createSubscription(topic, settings) };
  }

  async publish(topic: string, ...texts: string[]): Promise<string[]> {
    const messages = texts.map((text) => ({ data: Buffer.from(text) }));
    const [{ messageIds }] = await this.publisher.publish({ topic, messages });
    return messageIds ?? [];
  }

  /** Pulls until there is at least one message. */
  async pull(subscription: string, maxMessages = 1): Promise<PulledMessage[]> {
    for (;;) {
      const [{ receivedMessages }] = await this.subscriber.pull({ subscription, maxMessages });
      if (receivedMessages?.length) return receivedMessages;
    }
  }

  /** Returns the texts of the messages that are available now. */
  async peek(subscription: string): Promise<string[]> {
    const request = { subscription, maxMessages: 1000, returnImmediately: true };
    const [{ receivedMessages }] = await this.subscriber.pull(request);
    return (receivedMessages ?? []).map(toText);
  }

  async acknowledge(subscription: string, ...received: PulledMessage[]): Promise<void> {
    await this.subscriber.acknowledge({ subscription, ackIds: received.map(({ ackId }) => ackId!) });
  }

  async setDeadline(
    subscription: string,
    ackDeadlineSeconds: number,
    ...received: PulledMessage[]
  ): Promise<void> {
    const ackIds = received.map(({ ackId }) => ackId!);
    await this.subscriber.modifyAckDeadline({ subscription, ackIds, ackDeadlineSeconds });
  }

  openStream(subscription: string, request: StreamRequest = {}): PullStream {
    const call = this.subscriber.streamingPull({ timeout: 60_000 });
    const messages = new Inbox<PulledMessage>();
    const responses = new Inbox<StreamResponse>();
    call.on('data', (response: StreamResponse) => {
      responses.push(response);
      for (const message of response.receivedMessages ?? []) messages.push(message);
    });
    const ended = new Promise<{ code?: number; message: string }>((resolve) => {
      call.once('error', resolve);
      call.once('end', () => resolve({ message: 'ended by the client' }));
    });
    const stream: PullStream = {
      messages,
      responses,
      ended,
      write: (next) => call.write(next),
      cancel: () => {
        call.cancel();
        this.#streams.delete(stream);
      },
    };
    this.#streams.add(stream);
    stream.write({ subscription, streamAckDeadlineSeconds: 60, protocolVersion: 1, ...request });
    return stream;
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) stream.cancel();
    await this.pubsub.close();
    await this.publisher.close();
    await this.subscriber.close();
  }
}

export function toText(received: PulledMessage): string {
  return Buffer.from(received.message!.data as Uint8Array).toString();
}

export function toTexts(received: readonly PulledMessage[]): string[] {
  return received.map(toText).sort();
}
