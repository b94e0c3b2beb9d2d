/** One message on its way to one subscription. Its states are told in `subscription.ts`. */
import type { Timed } from './deadlines.ts';
import type { StatusError } from '../status.ts';
import type { ReceivedMessage, WireMessage } from '../wire.ts';

export interface Message {
  wire: WireMessage;
  /** Milliseconds since 1970. */
  publishedAt: number;
  /** Bytes of data and attributes. */
  size: number;
}

/** The subscription, as far as its deliveries need it. */
interface Owner {
  readonly countsAttempts: boolean;
  deadlinePassed(delivery: Delivery): void;
}

export class Delivery implements Timed {
  slot: Set<Timed> | undefined = undefined;
  readonly message: Message;
  readonly #owner: Owner;
  /** How often it was handed out. */
  attempts = 0;
  /** Of the present lease; each hand-out has its own, so that a late acknowledgement is not taken for a new one. */
  ackId = '';
  /** Who holds the lease; undefined while it waits. */
  holder: Consumer | undefined = undefined;

  constructor(message: Message, owner: Owner) {
    this.message = message;
    this.#owner = owner;
  }

  due(): void {
    this.#owner.deadlinePassed(this);
  }

  /** 0 unless the subscription has a dead-letter policy, as the API has it. */
  get deliveryAttempt(): number {
    return this.#owner.countsAttempts ? this.attempts : 0;
  }

  received(): ReceivedMessage {
    return { ackId: this.ackId, message: this.message.wire, deliveryAttempt: this.deliveryAttempt };
  }
}

/**
 * Whoever takes messages from a subscription: an open stream, a waiting pull, or the pusher. A subscription hands out
 * only to consumers that have room, and tells a consumer when a lease of its ends.
 */
export abstract class Consumer {
  attached = false;
  /** True while the consumer stands in its subscription's line; owned by the subscription. */
  inLine = false;
  /** The ack deadline of what this consumer takes; undefined: the subscription's. */
  leaseSeconds: number | undefined;
  /** Handed out and neither acknowledged, refused nor expired. */
  outstandingMessages = 0;
  outstandingBytes = 0;

  abstract hasRoom(): boolean;
  /** Takes deliveries, all under lease from now. */
  abstract deliver(deliveries: Delivery[]): void;
  /** The subscription is gone, or no longer of this kind. */
  abstract end(reason: StatusError): void;
}
