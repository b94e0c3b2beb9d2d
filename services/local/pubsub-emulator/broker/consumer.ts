/**
 * Whoever takes messages from a subscription: an open stream, a waiting pull, or the pusher. A subscription hands out
 * only to consumers that have room, and tells a consumer when a lease of its ends.
 */
import type { Delivery } from './delivery.ts';
import type { StatusError } from '../status.ts';

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
