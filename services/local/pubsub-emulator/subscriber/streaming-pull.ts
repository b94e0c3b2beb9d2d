/**
 * An open stream of deliveries. The first request names the subscription and the limits; later ones may change the ack
 * deadline, acknowledge, or be empty: those are the client's pings, and a client whose ping stays unanswered for 15
 * seconds takes the stream for dead and opens another.
 */
import type { handleBidiStreamingCall, ServerDuplexStream } from '@grpc/grpc-js';
import { Consumer } from '../broker/delivery.ts';
import type { Delivery } from '../broker/delivery.ts';
import { invalid, type StatusError } from '../status.ts';
import type { Subscription } from '../broker/subscription.ts';
import { asStatus } from '../unary.ts';
import type { ReceivedMessage, StreamingPullRequest, StreamingPullResponse } from '../wire.ts';

/** Of one response. A single message may be larger, and then goes alone. */
const MAX_BYTES = 1024 * 1024;
const MAX_MESSAGES = 1000;

type Call = ServerDuplexStream<StreamingPullRequest, StreamingPullResponse>;

export function streamingPull(
  find: (name: string) => Subscription,
): handleBidiStreamingCall<StreamingPullRequest, StreamingPullResponse> {
  return (call) => {
    let stream: StreamConsumer | undefined;
    let subscription: Subscription | undefined;
    let over = false;
    const leave = (): void => {
      over = true;
      if (stream) subscription?.detach(stream);
    };
    call.on('data', (request: StreamingPullRequest) => {
      // What a client sent before it heard that the stream has ended.
      if (over) return;
      try {
        if (stream && subscription) {
          stream.follow(request, subscription);
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
        fail(call, asStatus(error));
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

class StreamConsumer extends Consumer {
  readonly #call: Call;
  /** 0 and less: no limit. */
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  /** The transport is behind: nothing is handed out until it has drained. */
  #blocked = false;

  constructor(call: Call, first: StreamingPullRequest, subscription: Subscription) {
    super();
    this.#call = call;
    this.#maxMessages = first.maxOutstandingMessages;
    this.#maxBytes = first.maxOutstandingBytes;
    this.leaseSeconds = checkedDeadline(first.streamAckDeadlineSeconds);
    this.#apply(first, subscription);
    call.on('drain', () => {
      this.#blocked = false;
      subscription.ready(this);
    });
    this.#write({
      subscriptionProperties: { exactlyOnceDeliveryEnabled: false, messageOrderingEnabled: false },
    });
  }

  /** A request after the first. */
  follow(request: StreamingPullRequest, subscription: Subscription): void {
    if (request.subscription !== '')
      throw invalid('Only the first request of a stream may name the subscription.');
    if (request.streamAckDeadlineSeconds !== 0) {
      this.leaseSeconds = checkedDeadline(request.streamAckDeadlineSeconds);
    }
    this.#apply(request, subscription);
    const ping = request.ackIds.length + request.modifyDeadlineAckIds.length === 0;
    if (ping) this.#write({});
  }

  /** As the API has it: the limits stop new messages once they are reached, so one large message always passes. */
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
        receivedMessages.length === MAX_MESSAGES ||
        (bytes > 0 && bytes + delivery.message.size > MAX_BYTES)
      ) {
        this.#write({ receivedMessages });
        receivedMessages = [];
        bytes = 0;
      }
      receivedMessages.push(delivery.received());
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

/** Ends a stream with a status: in grpc-js an `error` event is how a handler does that. */
function fail(call: Call, reason: StatusError): void {
  call.emit('error', reason);
}

function checkedDeadline(seconds: number): number {
  if (seconds >= 10 && seconds <= 600) return seconds;
  throw invalid(`stream_ack_deadline_seconds must be between 10 and 600 seconds: ${seconds} was given.`);
}
