/** All topics and subscriptions, and the way of a message from its topic to the subscriptions. Everything is in memory. */
import type { Message } from './delivery.ts';
import { Deadlines } from './deadlines.ts';
import { partsOf } from '../names.ts';
import { PushConsumer, type Pushing } from '../subscriber/push.ts';
import { alreadyExists, failedPrecondition, notFound } from '../status.ts';
import { Subscription } from './subscription.ts';
import { timestamp, type SubscriptionSettings, type Topic } from '../wire.ts';

/** What the subscriptions of a deleted topic answer for their topic. */
const DELETED_TOPIC = '_deleted-topic_';

interface TopicEntry {
  topic: Topic;
  readonly subscriptions: Set<Subscription>;
}

/**
 * What becomes of a message that was taken: the service promises neither once nor soon nor in order, and a test may
 * want it to lose one.
 */
export type Fate = 'delivered' | 'lost' | 'repeated' | { delayMs: number };
export type FateOf = (data: Buffer) => Fate;

export class Broker {
  readonly #topics = new Map<string, TopicEntry>();
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #deadlines = new Deadlines();
  readonly #pushing: Pushing;
  readonly #fateOf: FateOf;
  readonly #delayed = new Set<NodeJS.Timeout>();
  #lastMessageId = Date.now() * 1000;

  constructor(pushing: Pushing, fateOf: FateOf = () => 'delivered') {
    this.#pushing = pushing;
    this.#fateOf = fateOf;
  }

  createTopic(topic: Topic): Topic {
    if (this.#topics.has(topic.name)) throw alreadyExists(topic.name);
    this.#topics.set(topic.name, { topic, subscriptions: new Set() });
    return topic;
  }

  topic(name: string): TopicEntry {
    const entry = this.#topics.get(name);
    if (!entry) throw notFound(name);
    return entry;
  }

  /** Its subscriptions stay, with what they hold. */
  deleteTopic(name: string): void {
    for (const subscription of this.topic(name).subscriptions) {
      subscription.settings = { ...subscription.settings, topic: DELETED_TOPIC };
    }
    this.#topics.delete(name);
  }

  topics(): Iterable<string> {
    return this.#topics.keys();
  }

  /** Gives each message its id and hands it to every subscription of the topic. */
  publish(name: string, contents: Iterable<MessageContent>): string[] {
    const { subscriptions } = this.topic(name);
    const publishedAt = Date.now();
    const publishTime = timestamp(publishedAt);
    const messages: Message[] = [];
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
    const now = messages.flatMap((message) => this.#meetFate(message, subscriptions));
    for (const subscription of subscriptions) subscription.offer(now);
    return ids;
  }

  #meetFate(message: Message, subscriptions: ReadonlySet<Subscription>): Message[] {
    const fate = this.#fateOf(message.wire.data);
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
    if (this.#subscriptions.has(settings.name)) throw alreadyExists(settings.name);
    const { subscriptions } = this.topic(settings.topic);
    if (settings.deadLetterPolicy) this.topic(settings.deadLetterPolicy.deadLetterTopic);
    const subscription = new Subscription(settings, this.#deadlines, (...dead) => this.#deadLetter(...dead));
    this.#subscriptions.set(settings.name, subscription);
    subscriptions.add(subscription);
    this.#startPush(subscription);
    return settings;
  }

  subscription(name: string): Subscription {
    const subscription = this.#subscriptions.get(name);
    if (!subscription) throw notFound(name);
    return subscription;
  }

  changeSubscription(subscription: Subscription, settings: SubscriptionSettings): SubscriptionSettings {
    if (settings.deadLetterPolicy) this.topic(settings.deadLetterPolicy.deadLetterTopic);
    const pushWas = subscription.settings.pushConfig;
    subscription.settings = settings;
    if (pushWas?.pushEndpoint !== settings.pushConfig?.pushEndpoint) {
      subscription.endConsumers(failedPrecondition(`The way of delivery of ${settings.name} was changed.`));
      this.#startPush(subscription);
    }
    return settings;
  }

  deleteSubscription(name: string): void {
    const subscription = this.subscription(name);
    this.#subscriptions.delete(name);
    this.#topics.get(subscription.settings.topic)?.subscriptions.delete(subscription);
    subscription.endConsumers(notFound(name), true);
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
    if (subscription.isPush) subscription.attach(new PushConsumer(subscription, this.#pushing));
  }

  #deadLetter(message: Message, attempts: number, from: SubscriptionSettings): boolean {
    const topic = from.deadLetterPolicy?.deadLetterTopic ?? '';
    if (!this.#topics.has(topic)) return false;
    const { project, id } = partsOf(from.name);
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
