/** A message of one subscription, and the consumers that receive it. `subscription.ts` draws the states. */
import type { Timed } from './deadlines.ts';
import type { StatusError } from '../../emulator/status.ts';
import type { ReceivedMessage, WireMessage } from '../wire.ts';

export interface StoredMessage {
  wire: WireMessage;
  /** In milliseconds since 1970. */
  publishedAt: number;
  /** Bytes of data and attributes. */
  size: number;
}

/** The part of a subscription that its deliveries use. */
interface Owner {
  readonly countsAttempts: boolean;
  deadlinePassed(delivery: Delivery): void;
}

export class Delivery implements Timed {
  slot: Set<Timed> | undefined = undefined;
  readonly message: StoredMessage;
  readonly #owner: Owner;
  /** How many times the message was leased. */
  attempts = 0;
  /**
   * Identifies the current lease. Each lease has a new id, so a late acknowledgement does not apply to the
   * next one.
   */
  ackId = '';
  /** The consumer that holds the lease. Undefined while the message waits. */
  holder: SubscriptionConsumer | undefined = undefined;

  constructor(message: StoredMessage, owner: Owner) {
    this.message = message;
    this.#owner = owner;
  }

  due(): void {
    this.#owner.deadlinePassed(this);
  }

  /** 0 unless the subscription has a dead-letter policy, as in the API. */
  get deliveryAttempt(): number {
    return this.#owner.countsAttempts ? this.attempts : 0;
  }

  toReceivedMessage(): ReceivedMessage {
    return { ackId: this.ackId, message: this.message.wire, deliveryAttempt: this.deliveryAttempt };
  }
}

/**
 * Receives messages of a subscription: an open stream, a waiting pull, or the push client. A subscription
 * delivers only to consumers that have room, and calls `end` when it is deleted or changes between pull and
 * push.
 */
export abstract class SubscriptionConsumer {
  attached = false;
  /** True while the consumer is in the queue of its subscription. Set only by the subscription. */
  queued = false;
  /** The ack deadline of deliveries to this consumer. Undefined: the deadline of the subscription. */
  leaseSeconds: number | undefined;
  /** Leased, and neither acknowledged, nacked nor expired. */
  outstandingMessages = 0;
  outstandingBytes = 0;

  abstract hasRoom(): boolean;
  /** Receives deliveries. Their leases have just started. */
  abstract deliver(deliveries: Delivery[]): void;
  /** Ends the consumer: the subscription was deleted or changed between pull and push. */
  abstract end(reason: StatusError): void;
}
