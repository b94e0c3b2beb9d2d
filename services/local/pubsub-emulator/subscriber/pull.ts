/** Implements Pull: responds as soon as messages are available, or with none after 50 seconds. */
import type { handleUnaryCall } from '@grpc/grpc-js';
import { SubscriptionConsumer, type Delivery } from '../broker/delivery.ts';
import { invalid, type StatusError } from '../../emulator/status.ts';
import type { Subscription } from '../broker/subscription.ts';
import { toStatusError } from '../../emulator/grpc.ts';
import type { ReceivedMessage } from '../wire.ts';

/** Less than the default client timeout of 60 seconds. */
const maxWaitMs = 50_000;

interface PullRequest {
  subscription: string;
  maxMessages: number;
  returnImmediately: boolean;
}

interface PullResponse {
  receivedMessages: ReceivedMessage[];
}

export function createPullHandler(
  find: (name: string) => Subscription,
): handleUnaryCall<PullRequest, PullResponse> {
  return (call, callback) => {
    try {
      const { subscription: name, maxMessages, returnImmediately } = call.request;
      const subscription = find(name);
      subscription.assertPull();
      if (maxMessages <= 0) throw invalid(`max_messages is ${maxMessages}: expected at least 1.`);

      let timeout: NodeJS.Timeout | undefined;
      const leave = (): boolean => {
        const waiting = consumer.attached;
        subscription.detach(consumer);
        clearTimeout(timeout);
        return waiting;
      };
      const finish = (deliveries: Delivery[]): void => {
        if (!leave()) return;
        callback(null, { receivedMessages: deliveries.map((delivery) => delivery.toReceivedMessage()) });
      };
      const consumer = new PullConsumer(maxMessages, finish, (reason) => {
        clearTimeout(timeout);
        callback(reason);
      });
      call.once('cancelled', leave);
      subscription.attach(consumer);
      // `attach` scheduled the delivery with setImmediate, so this callback runs after it.
      if (returnImmediately) setImmediate(() => finish([]));
      else timeout = setTimeout(() => finish([]), maxWaitMs);
    } catch (error) {
      callback(toStatusError(error));
    }
  };
}

class PullConsumer extends SubscriptionConsumer {
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
