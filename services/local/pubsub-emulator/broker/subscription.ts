/**
 * A subscription: what happens to each message on its way to an acknowledgement. All transitions are constant-time.
 *
 *      publish (filter passed)
 *         │
 *         ▼      a consumer has room          acknowledged
 *      waiting ───────────────────▶ leased ────────────────▶ gone
 *         ▲                           │
 *         │ at once, or after         │ deadline 0 (a nack), or the deadline passed
 *         │ the retry policy's wait   ▼
 *         └─────────────────────── refused ── attempts spent ──▶ dead-letter topic, gone
 *
 * A lease outlives the stream that it was given to: after a crash of the subscriber its messages come again only when
 * their deadlines have passed. Hand-outs are gathered until the event loop has read what is there (`setImmediate`),
 * so that publishes that arrive together leave together; an idle publish waits for nothing.
 */
import type { Consumer } from './delivery.ts';
import { Delivery, type Message } from './delivery.ts';
import type { Deadlines } from './deadlines.ts';
import { Fifo } from './fifo.ts';
import { parseFilter, type Filter } from './filter.ts';
import { failedPrecondition, invalid, type StatusError } from '../status.ts';
import { milliseconds, type SubscriptionSettings } from '../wire.ts';

/** Pub/Sub's own pace of repeating pushes where the subscription has no retry policy. */
const PUSH_BACKOFF = { minimum: 100, maximum: 60_000 };
const ACK_ID = /^ack-[0-9a-z]+$/;

let lastAckId = Date.now() * 1000;

/** Publishes to the dead-letter topic; false where that topic does not exist, and then the message is kept. */
export type DeadLetter = (message: Message, attempts: number, from: SubscriptionSettings) => boolean;

export class Subscription {
  settings: SubscriptionSettings;
  readonly #deadlines: Deadlines;
  readonly #deadLetter: DeadLetter;
  readonly #passes: Filter | undefined;
  readonly #fresh = new Fifo<Delivery>();
  readonly #refused = new Fifo<Delivery>();
  readonly #leases = new Map<string, Delivery>();
  readonly #consumers = new Set<Consumer>();
  /** Consumers that had room when they joined; taken in turn, so that messages spread evenly. */
  readonly #line = new Fifo<Consumer>();
  #pumpPlanned = false;
  #refusedLast = false;
  #closed = false;

  constructor(settings: SubscriptionSettings, deadlines: Deadlines, deadLetter: DeadLetter) {
    this.settings = settings;
    this.#deadlines = deadlines;
    this.#deadLetter = deadLetter;
    this.#passes = settings.filter === '' ? undefined : parseFilter(settings.filter);
  }

  get isPush(): boolean {
    return Boolean(this.settings.pushConfig?.pushEndpoint);
  }

  get countsAttempts(): boolean {
    return this.settings.deadLetterPolicy !== null;
  }

  offer(messages: readonly Message[]): void {
    for (const message of messages) {
      if (!this.#passes || this.#passes(message.wire.attributes))
        this.#fresh.push(new Delivery(message, this));
    }
    this.#planPump();
  }

  attach(consumer: Consumer): void {
    consumer.attached = true;
    this.#consumers.add(consumer);
    this.ready(consumer);
  }

  /** What the consumer holds stays leased until its deadlines. */
  detach(consumer: Consumer): void {
    consumer.attached = false;
    this.#consumers.delete(consumer);
  }

  /** The consumer may have room now. */
  ready(consumer: Consumer): void {
    if (consumer.inLine || !consumer.attached || !consumer.hasRoom()) return;
    consumer.inLine = true;
    this.#line.push(consumer);
    this.#planPump();
  }

  /** Unknown ack ids are those of leases that have ended: passed over, as the API has it. */
  acknowledge(ackIds: readonly string[]): void {
    checkAckIds(ackIds);
    for (const ackId of ackIds) {
      const delivery = this.#leases.get(ackId);
      if (delivery) this.#endLease(delivery);
    }
  }

  /** Seconds from now; 0 refuses the message. */
  modifyDeadline(ackIds: readonly string[], seconds: number): void {
    checkAckIds(ackIds);
    if (seconds < 0 || seconds > 600) {
      throw invalid(`The ack deadline must be between 0 and 600 seconds: ${seconds} was given.`);
    }
    for (const ackId of ackIds) {
      const delivery = this.#leases.get(ackId);
      if (!delivery) continue;
      if (seconds === 0) this.#refuse(delivery);
      else this.#deadlines.set(delivery, seconds * 1000);
    }
  }

  /** Ends all consumers: the subscription is deleted (`final`), or changes between pull and push. */
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
        `This method is not supported for the push subscription ${this.settings.name}.`,
      );
    }
  }

  /** A lease has run out, or the wait before another attempt is over. */
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
    const pause = this.#backoff(delivery.attempts);
    if (pause > 0) this.#deadlines.set(delivery, pause);
    else this.#wait(delivery);
  }

  #wait(delivery: Delivery): void {
    this.#refused.push(delivery);
    this.#planPump();
  }

  #backoff(attempts: number): number {
    const policy = this.settings.retryPolicy;
    if (!policy && !this.isPush) return 0;
    const minimum = policy ? (milliseconds(policy.minimumBackoff) ?? 10_000) : PUSH_BACKOFF.minimum;
    const maximum = policy ? (milliseconds(policy.maximumBackoff) ?? 600_000) : PUSH_BACKOFF.maximum;
    return Math.min(maximum, minimum * 2 ** Math.min(attempts - 1, 30));
  }

  #lease(delivery: Delivery, consumer: Consumer): void {
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

  #planPump(): void {
    if (this.#pumpPlanned || this.#line.size === 0 || this.#waiting === 0) return;
    this.#pumpPlanned = true;
    setImmediate(() => {
      this.#pumpPlanned = false;
      this.#pump();
    });
  }

  #pump(): void {
    const batches = new Map<Consumer, Delivery[]>();
    while (this.#waiting > 0) {
      const consumer = this.#nextWithRoom();
      if (!consumer) break;
      const delivery = this.#nextWaiting();
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

  #nextWithRoom(): Consumer | undefined {
    for (let consumer = this.#line.shift(); consumer; consumer = this.#line.shift()) {
      consumer.inLine = false;
      if (consumer.attached && consumer.hasRoom()) return consumer;
    }
    return undefined;
  }

  /** In turn a message that was refused and a new one, so that neither kind holds up the other. */
  #nextWaiting(): Delivery | undefined {
    const retention = milliseconds(this.settings.messageRetentionDuration) ?? Infinity;
    for (;;) {
      this.#refusedLast = !this.#refusedLast;
      const [first, second] = this.#refusedLast ? [this.#refused, this.#fresh] : [this.#fresh, this.#refused];
      const delivery = first.shift() ?? second.shift();
      if (!delivery || Date.now() - delivery.message.publishedAt < retention) return delivery;
    }
  }
}

function checkAckIds(ackIds: readonly string[]): void {
  const malformed = ackIds.find((ackId) => !ACK_ID.test(ackId));
  if (malformed !== undefined) {
    throw invalid(`You have passed an invalid ack ID to the service (ack_id=${malformed}).`);
  }
}
