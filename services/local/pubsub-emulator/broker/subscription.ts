/**
 * A subscription moves each message through these states. All transitions take constant time.
 *
 *      publish (filter passed)
 *         │
 *         ▼      a consumer has room          acknowledged
 *      waiting ───────────────────▶ leased ────────────────▶ removed
 *         ▲                           │
 *         │ immediately, or after     │ deadline 0 (a nack), or the deadline passed
 *         │ the retry backoff         ▼
 *         └─────────────────────── refused ── attempts spent ──▶ dead-letter topic, removed
 *
 * A lease outlives its stream: after a subscriber crashes, its messages are redelivered only when their
 * deadlines have passed. Deliveries are batched until the event loop has read all pending input
 * (`setImmediate`), so messages that are published together are delivered together. An idle publish is not
 * delayed.
 */
import { Delivery, type SubscriptionConsumer, type StoredMessage } from './delivery.ts';
import type { Deadlines } from './deadlines.ts';
import { Fifo } from './fifo.ts';
import { parseFilter, type Filter } from './filter.ts';
import { toMillis } from '../../emulator/duration.ts';
import { failedPrecondition, invalid, type StatusError } from '../../emulator/status.ts';
import type { SubscriptionSettings } from '../wire.ts';

/** The backoff of pushes in milliseconds if the subscription has no retry policy, as in the service. */
const pushBackoff = { minimum: 100, maximum: 60_000 };
const ackIdPattern = /^ack-[0-9a-z]+$/;

let lastAckId = Date.now() * 1000;

/**
 * Publishes to the dead-letter topic. Returns false if that topic does not exist, and the message is kept.
 */
export type DeadLetter = (message: StoredMessage, attempts: number, from: SubscriptionSettings) => boolean;

export class Subscription {
  settings: SubscriptionSettings;
  readonly #deadlines: Deadlines;
  readonly #deadLetter: DeadLetter;
  readonly #filter: Filter | undefined;
  readonly #fresh = new Fifo<Delivery>();
  readonly #refused = new Fifo<Delivery>();
  readonly #leases = new Map<string, Delivery>();
  readonly #consumers = new Set<SubscriptionConsumer>();
  /** Consumers that had room when they joined. They take turns, so messages are spread evenly. */
  readonly #queue = new Fifo<SubscriptionConsumer>();
  #pumpScheduled = false;
  #refusedLast = false;
  #closed = false;

  constructor(settings: SubscriptionSettings, deadlines: Deadlines, deadLetter: DeadLetter) {
    this.settings = settings;
    this.#deadlines = deadlines;
    this.#deadLetter = deadLetter;
    this.#filter = settings.filter === '' ? undefined : parseFilter(settings.filter);
  }

  get isPush(): boolean {
    return Boolean(this.settings.pushConfig?.pushEndpoint);
  }

  get countsAttempts(): boolean {
    return this.settings.deadLetterPolicy !== null;
  }

  offer(messages: readonly StoredMessage[]): void {
    for (const message of messages) {
      if (!this.#filter || this.#filter(message.wire.attributes))
        this.#fresh.push(new Delivery(message, this));
    }
    this.#schedulePump();
  }

  attach(consumer: SubscriptionConsumer): void {
    consumer.attached = true;
    this.#consumers.add(consumer);
    this.ready(consumer);
  }

  /** Messages of the consumer stay leased until their deadlines. */
  detach(consumer: SubscriptionConsumer): void {
    consumer.attached = false;
    this.#consumers.delete(consumer);
  }

  /** Queues the consumer for deliveries if it has room. */
  ready(consumer: SubscriptionConsumer): void {
    if (consumer.queued || !consumer.attached || !consumer.hasRoom()) return;
    consumer.queued = true;
    this.#queue.push(consumer);
    this.#schedulePump();
  }

  /** Ignores unknown ack ids, as the API does: their leases have ended. */
  acknowledge(ackIds: readonly string[]): void {
    checkAckIds(ackIds);
    for (const ackId of ackIds) {
      const delivery = this.#leases.get(ackId);
      if (delivery) this.#endLease(delivery);
    }
  }

  /** Sets the deadlines to `seconds` from now, from 0 to 600. 0 refuses the messages. */
  modifyDeadline(ackIds: readonly string[], seconds: number): void {
    checkAckIds(ackIds);
    if (seconds < 0 || seconds > 600) {
      throw invalid(`The ack deadline must be from 0 to 600 seconds, but is ${seconds}.`);
    }
    for (const ackId of ackIds) {
      const delivery = this.#leases.get(ackId);
      if (!delivery) continue;
      if (seconds === 0) this.#refuse(delivery);
      else this.#deadlines.set(delivery, seconds * 1000);
    }
  }

  /** Ends all consumers because the subscription is deleted (`final`) or changes between pull and push. */
  endConsumers(reason: StatusError, final = false): void {
    this.#closed ||= final;
    for (const consumer of this.#consumers) {
      this.detach(consumer);
      consumer.end(reason);
    }
    if (!final) return;
    for (const delivery of this.#leases.values()) this.#deadlines.drop(delivery);
    this.#leases.clear();
    this.#fresh.clear();
    this.#refused.clear();
  }

  assertPull(): void {
    if (this.isPush) {
      throw failedPrecondition(
        `${this.settings.name} is a push subscription: messages cannot be pulled from it.`,
      );
    }
  }

  /** Called when a lease expires or a retry backoff ends. */
  deadlinePassed(delivery: Delivery): void {
    if (this.#closed) return;
    if (delivery.holder) this.#refuse(delivery);
    else this.#wait(delivery);
  }

  #refuse(delivery: Delivery): void {
    this.#endLease(delivery);
    const policy = this.settings.deadLetterPolicy;
    if (policy && delivery.attempts >= policy.maxDeliveryAttempts) {
      if (this.#deadLetter(delivery.message, delivery.attempts, this.settings)) return;
    }
    const backoffMs = this.#getBackoffMs(delivery.attempts);
    if (backoffMs > 0) this.#deadlines.set(delivery, backoffMs);
    else this.#wait(delivery);
  }

  #wait(delivery: Delivery): void {
    this.#refused.push(delivery);
    this.#schedulePump();
  }

  #getBackoffMs(attempts: number): number {
    const policy = this.settings.retryPolicy;
    if (!policy && !this.isPush) return 0;
    const minimum = policy ? (toMillis(policy.minimumBackoff) ?? 10_000) : pushBackoff.minimum;
    const maximum = policy ? (toMillis(policy.maximumBackoff) ?? 600_000) : pushBackoff.maximum;
    return Math.min(maximum, minimum * 2 ** Math.min(attempts - 1, 30));
  }

  #lease(delivery: Delivery, consumer: SubscriptionConsumer): void {
    lastAckId += 1;
    delivery.ackId = `ack-${lastAckId.toString(36)}`;
    delivery.attempts += 1;
    delivery.holder = consumer;
    consumer.outstandingMessages += 1;
    consumer.outstandingBytes += delivery.message.size;
    this.#leases.set(delivery.ackId, delivery);
    this.#deadlines.set(delivery, (consumer.leaseSeconds ?? this.settings.ackDeadlineSeconds) * 1000);
  }

  #endLease(delivery: Delivery): void {
    this.#leases.delete(delivery.ackId);
    this.#deadlines.drop(delivery);
    const consumer = delivery.holder;
    if (!consumer) return;
    delivery.holder = undefined;
    consumer.outstandingMessages -= 1;
    consumer.outstandingBytes -= delivery.message.size;
    this.ready(consumer);
  }

  get #waiting(): number {
    return this.#fresh.size + this.#refused.size;
  }

  #schedulePump(): void {
    if (this.#pumpScheduled || this.#queue.size === 0 || this.#waiting === 0) return;
    this.#pumpScheduled = true;
    setImmediate(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    const batches = new Map<SubscriptionConsumer, Delivery[]>();
    while (this.#waiting > 0) {
      const consumer = this.#takeConsumer();
      if (!consumer) break;
      const delivery = this.#takeWaiting();
      if (delivery) {
        this.#lease(delivery, consumer);
        const batch = batches.get(consumer);
        if (batch) batch.push(delivery);
        else batches.set(consumer, [delivery]);
      }
      this.ready(consumer);
    }
    for (const [consumer, deliveries] of batches) consumer.deliver(deliveries);
  }

  #takeConsumer(): SubscriptionConsumer | undefined {
    for (let consumer = this.#queue.shift(); consumer; consumer = this.#queue.shift()) {
      consumer.queued = false;
      if (consumer.attached && consumer.hasRoom()) return consumer;
    }
    return undefined;
  }

  /** Alternates between refused and new messages, so neither kind blocks the other. */
  #takeWaiting(): Delivery | undefined {
    const retention = toMillis(this.settings.messageRetentionDuration) ?? Infinity;
    for (;;) {
      this.#refusedLast = !this.#refusedLast;
      const [first, second] = this.#refusedLast ? [this.#refused, this.#fresh] : [this.#fresh, this.#refused];
      const delivery = first.shift() ?? second.shift();
      if (!delivery || Date.now() - delivery.message.publishedAt < retention) return delivery;
    }
  }
}

function checkAckIds(ackIds: readonly string[]): void {
  const malformed = ackIds.find((ackId) => !ackIdPattern.test(ackId));
  if (malformed !== undefined) {
    throw invalid(`Invalid ack id (ack_id=${malformed}): expected an id from a received message.`);
  }
}
