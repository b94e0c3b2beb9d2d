/**
 * Implements StreamingPull. The first request names the subscription and the limits. Later requests can
 * change the ack deadline, acknowledge messages or be empty. Empty requests are pings: a client that gets no
 * response to a ping within 15 seconds considers the stream broken and opens another.
 */
import type { handleBidiStreamingCall, ServerDuplexStream } from '@grpc/grpc-js';
import { SubscriptionConsumer, type Delivery } from '../broker/delivery.ts';
import { invalid, type StatusError } from '../../emulator/status.ts';
import type { Subscription } from '../broker/subscription.ts';
import { toStatusError } from '../../emulator/grpc.ts';
import type { ReceivedMessage, StreamingPullRequest, StreamingPullResponse } from '../wire.ts';

/** Limits of one response. A larger message is sent alone. */
const maxResponseBytes = 1024 * 1024;
const maxResponseMessages = 1000;

type StreamCall = ServerDuplexStream<StreamingPullRequest, StreamingPullResponse>;

export function createStreamingPullHandler(
  find: (name: string) => Subscription,
): handleBidiStreamingCall<StreamingPullRequest, StreamingPullResponse> {
  return (call) => {
    let stream: StreamConsumer | undefined;
    let subscription: Subscription | undefined;
    let ended = false;
    const leave = (): void => {
      ended = true;
      if (stream) subscription?.detach(stream);
    };
    call.on('data', (request: StreamingPullRequest) => {
      // The client sent this before it received the end of the stream.
      if (ended) return;
      try {
        if (stream && subscription) {
          stream.handle(request, subscription);
        } else {
          if (request.subscription === '')
            throw invalid('The first request of a stream must name the subscription.');
          subscription = find(request.subscription);
          subscription.assertPull();
          stream = new StreamConsumer(call, request, subscription);
          subscription.attach(stream);
        }
      } catch (error) {
        leave();
        fail(call, toStatusError(error));
      }
    });
    call.on('end', () => {
      leave();
      call.end();
    });
    call.on('cancelled', leave);
    call.on('error', leave);
  };
}

class StreamConsumer extends SubscriptionConsumer {
  readonly #call: StreamCall;
  /** 0 or less: unlimited. */
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  /** True while the transport is congested. No messages are delivered until it drains. */
  #blocked = false;

  constructor(call: StreamCall, first: StreamingPullRequest, subscription: Subscription) {
    super();
    this.#call = call;
    this.#maxMessages = first.maxOutstandingMessages;
    this.#maxBytes = first.maxOutstandingBytes;
    this.leaseSeconds = parseAckDeadline(first.streamAckDeadlineSeconds);
    this.#apply(first, subscription);
    call.on('drain', () => {
      this.#blocked = false;
      subscription.ready(this);
    });
    this.#write({
      subscriptionProperties: { exactlyOnceDeliveryEnabled: false, messageOrderingEnabled: false },
    });
  }

  /** Handles a request after the first. */
  handle(request: StreamingPullRequest, subscription: Subscription): void {
    if (request.subscription !== '')
      throw invalid('Only the first request of a stream may name the subscription.');
    if (request.streamAckDeadlineSeconds !== 0) {
      this.leaseSeconds = parseAckDeadline(request.streamAckDeadlineSeconds);
    }
    this.#apply(request, subscription);
    const ping = request.ackIds.length + request.modifyDeadlineAckIds.length === 0;
    if (ping) this.#write({});
  }

  /** The limits apply once they are reached, as in the API, so a single large message always passes. */
  hasRoom(): boolean {
    return (
      !this.#blocked &&
      (this.#maxMessages <= 0 || this.outstandingMessages < this.#maxMessages) &&
      (this.#maxBytes <= 0 || this.outstandingBytes < this.#maxBytes)
    );
  }

  deliver(deliveries: Delivery[]): void {
    let receivedMessages: ReceivedMessage[] = [];
    let bytes = 0;
    for (const delivery of deliveries) {
      if (
        receivedMessages.length === maxResponseMessages ||
        (bytes > 0 && bytes + delivery.message.size > maxResponseBytes)
      ) {
        this.#write({ receivedMessages });
        receivedMessages = [];
        bytes = 0;
      }
      receivedMessages.push(delivery.toReceivedMessage());
      bytes += delivery.message.size;
    }
    this.#write({ receivedMessages });
  }

  end(reason: StatusError): void {
    fail(this.#call, reason);
  }

  #apply(request: StreamingPullRequest, subscription: Subscription): void {
    const { ackIds, modifyDeadlineAckIds, modifyDeadlineSeconds } = request;
    if (modifyDeadlineAckIds.length !== modifyDeadlineSeconds.length) {
      throw invalid('modify_deadline_ack_ids and modify_deadline_seconds must have the same length.');
    }
    subscription.acknowledge(ackIds);
    modifyDeadlineAckIds.forEach((ackId, at) => {
      subscription.modifyDeadline([ackId], modifyDeadlineSeconds[at] ?? 0);
    });
  }

  #write(response: StreamingPullResponse): void {
    if (!this.#call.write(response)) this.#blocked = true;
  }
}

/** Ends a stream with a status. Handlers in grpc-js do that by emitting `error`. */
function fail(call: StreamCall, reason: StatusError): void {
  call.emit('error', reason);
}

function parseAckDeadline(seconds: number): number {
  if (seconds >= 10 && seconds <= 600) return seconds;
  throw invalid(`stream_ack_deadline_seconds is ${seconds}: expected a value from 10 to 600.`);
}
