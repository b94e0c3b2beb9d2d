/** A single pull: answers as soon as there is something to hand out, or with nothing after a while. */
import type { handleUnaryCall } from '@grpc/grpc-js';
import { Consumer } from '../broker/delivery.ts';
import type { Delivery } from '../broker/delivery.ts';
import { invalid, type StatusError } from '../status.ts';
import type { Subscription } from '../broker/subscription.ts';
import { asStatus } from '../unary.ts';
import type { ReceivedMessage } from '../wire.ts';

/** Below the 60 seconds after which clients give up by default. */
const LONGEST_WAIT_MS = 50_000;

interface PullRequest {
  subscription: string;
  maxMessages: number;
  returnImmediately: boolean;
}

interface PullResponse {
  receivedMessages: ReceivedMessage[];
}

export function pull(find: (name: string) => Subscription): handleUnaryCall<PullRequest, PullResponse> {
  return (call, callback) => {
    try {
      const { subscription: name, maxMessages, returnImmediately } = call.request;
      const subscription = find(name);
      subscription.assertPull();
      if (maxMessages <= 0) throw invalid('The value for max_messages is too small: it must be at least 1.');

      let patience: NodeJS.Timeout | undefined;
      const leave = (): boolean => {
        const waiting = consumer.attached;
        subscription.detach(consumer);
        clearTimeout(patience);
        return waiting;
      };
      const finish = (deliveries: Delivery[]): void => {
        if (!leave()) return;
        callback(null, { receivedMessages: deliveries.map((delivery) => delivery.received()) });
      };
      const consumer = new PullConsumer(maxMessages, finish, (reason) => {
        clearTimeout(patience);
        callback(reason);
      });
      call.once('cancelled', leave);
      subscription.attach(consumer);
      // Attaching planned the hand-out as an immediate: this one comes after it.
      if (returnImmediately) setImmediate(() => finish([]));
      else patience = setTimeout(() => finish([]), LONGEST_WAIT_MS);
    } catch (error) {
      callback(asStatus(error));
    }
  };
}

class PullConsumer extends Consumer {
  readonly #maxMessages: number;
  readonly deliver: (deliveries: Delivery[]) => void;
  readonly end: (reason: StatusError) => void;

  constructor(
    maxMessages: number,
    deliver: (deliveries: Delivery[]) => void,
    end: (reason: StatusError) => void,
  ) {
    super();
    this.#maxMessages = maxMessages;
    this.deliver = deliver;
    this.end = end;
  }

  hasRoom(): boolean {
    return this.outstandingMessages < this.#maxMessages;
  }
}
