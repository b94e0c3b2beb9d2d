/** Stores all topics and subscriptions in memory, and passes messages from topics to their subscriptions. */
import type { StoredMessage } from './delivery.ts';
import { Deadlines } from './deadlines.ts';
import { parseName, resourceExists, resourceNotFound } from '../names.ts';
import { PushConsumer, type PushClients } from '../subscriber/push.ts';
import { failedPrecondition } from '../../emulator/status.ts';
import { Subscription } from './subscription.ts';
import { fromMillis } from '../../emulator/duration.ts';
import type { SubscriptionSettings, WireTopic } from '../wire.ts';

/** The topic name that subscriptions of a deleted topic return. */
const deletedTopic = '_deleted-topic_';

interface TopicEntry {
  topic: WireTopic;
  readonly subscriptions: Set<Subscription>;
}

/**
 * The fate of an accepted message. The service guarantees neither exactly-once, prompt nor ordered delivery,
 * so tests can repeat or delay messages, and even lose them.
 */
export type MessageFate = 'delivered' | 'lost' | 'repeated' | { delayMs: number };
export type ChooseFate = (data: Buffer) => MessageFate;

export class Broker {
  readonly #topics = new Map<string, TopicEntry>();
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #deadlines = new Deadlines();
  readonly #pushClients: PushClients;
  readonly #chooseFate: ChooseFate;
  readonly #delayed = new Set<NodeJS.Timeout>();
  #lastMessageId = Date.now() * 1000;

  constructor(pushClients: PushClients, chooseFate: ChooseFate = () => 'delivered') {
    this.#pushClients = pushClients;
    this.#chooseFate = chooseFate;
  }

  createTopic(topic: WireTopic): WireTopic {
    if (this.#topics.has(topic.name)) throw resourceExists(topic.name);
    this.#topics.set(topic.name, { topic, subscriptions: new Set() });
    return topic;
  }

  topic(name: string): TopicEntry {
    const entry = this.#topics.get(name);
    if (!entry) throw resourceNotFound(name);
    return entry;
  }

  /** Keeps the subscriptions of the topic, with their messages. */
  deleteTopic(name: string): void {
    for (const subscription of this.topic(name).subscriptions) {
      subscription.settings = { ...subscription.settings, topic: deletedTopic };
    }
    this.#topics.delete(name);
  }

  topics(): Iterable<string> {
    return this.#topics.keys();
  }

  /** Assigns each message an id and offers it to every subscription of the topic. Returns the ids. */
  publish(name: string, contents: Iterable<MessageContent>): string[] {
    const { subscriptions } = this.topic(name);
    const publishedAt = Date.now();
    const publishTime = fromMillis(publishedAt);
    const messages: StoredMessage[] = [];
    const ids: string[] = [];
    for (const { data, attributes, size } of contents) {
      this.#lastMessageId += 1;
      const messageId = String(this.#lastMessageId);
      ids.push(messageId);
      messages.push({
        wire: { data, attributes, messageId, publishTime, orderingKey: '' },
        publishedAt,
        size,
      });
    }
    const deliverable = messages.flatMap((message) => this.#applyFate(message, subscriptions));
    for (const subscription of subscriptions) subscription.offer(deliverable);
    return ids;
  }

  #applyFate(message: StoredMessage, subscriptions: ReadonlySet<Subscription>): StoredMessage[] {
    const fate = this.#chooseFate(message.wire.data);
    if (fate === 'delivered') return [message];
    if (fate === 'lost') return [];
    if (fate === 'repeated') return [message, message];
    const timer = setTimeout(() => {
      this.#delayed.delete(timer);
      for (const subscription of subscriptions) subscription.offer([message]);
    }, fate.delayMs);
    this.#delayed.add(timer);
    return [];
  }

  createSubscription(settings: SubscriptionSettings): SubscriptionSettings {
    if (this.#subscriptions.has(settings.name)) throw resourceExists(settings.name);
    const { subscriptions } = this.topic(settings.topic);
    if (settings.deadLetterPolicy) this.topic(settings.deadLetterPolicy.deadLetterTopic);
    const subscription = new Subscription(settings, this.#deadlines, (...args) => this.#deadLetter(...args));
    this.#subscriptions.set(settings.name, subscription);
    subscriptions.add(subscription);
    this.#startPush(subscription);
    return settings;
  }

  subscription(name: string): Subscription {
    const subscription = this.#subscriptions.get(name);
    if (!subscription) throw resourceNotFound(name);
    return subscription;
  }

  changeSubscription(subscription: Subscription, settings: SubscriptionSettings): SubscriptionSettings {
    if (settings.deadLetterPolicy) this.topic(settings.deadLetterPolicy.deadLetterTopic);
    const previousPush = subscription.settings.pushConfig;
    subscription.settings = settings;
    if (previousPush?.pushEndpoint !== settings.pushConfig?.pushEndpoint) {
      subscription.endConsumers(failedPrecondition(`The push config of ${settings.name} was changed.`));
      this.#startPush(subscription);
    }
    return settings;
  }

  deleteSubscription(name: string): void {
    const subscription = this.subscription(name);
    this.#subscriptions.delete(name);
    this.#topics.get(subscription.settings.topic)?.subscriptions.delete(subscription);
    subscription.endConsumers(resourceNotFound(name), true);
  }

  subscriptions(): Iterable<string> {
    return this.#subscriptions.keys();
  }

  close(): void {
    this.#deadlines.close();
    for (const timer of this.#delayed) clearTimeout(timer);
    for (const name of this.#subscriptions.keys()) this.deleteSubscription(name);
  }

  #startPush(subscription: Subscription): void {
    if (subscription.isPush) subscription.attach(new PushConsumer(subscription, this.#pushClients));
  }

  #deadLetter(message: StoredMessage, attempts: number, from: SubscriptionSettings): boolean {
    const topic = from.deadLetterPolicy?.deadLetterTopic ?? '';
    if (!this.#topics.has(topic)) return false;
    const { project, id } = parseName(from.name);
    const attributes = {
      ...message.wire.attributes,
      CloudPubSubDeadLetterSourceDeliveryCount: String(attempts),
      CloudPubSubDeadLetterSourceSubscription: id,
      CloudPubSubDeadLetterSourceSubscriptionProject: project,
      CloudPubSubDeadLetterSourceTopicPublishTime: new Date(message.publishedAt)
        .toISOString()
        .replace('Z', '+00:00'),
    };
    this.publish(topic, [{ data: message.wire.data, attributes, size: message.size }]);
    return true;
  }
}

export interface MessageContent {
  data: Buffer;
  attributes: Record<string, string>;
  size: number;
}
