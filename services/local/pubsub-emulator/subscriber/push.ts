/**
 * Push delivery: each message is POSTed to the subscription's endpoint. An answer of 102, 200, 201, 202 or 204 in time
 * acknowledges it; anything else, or the ack deadline, refuses it, and the subscription's retry policy (or the default
 * pace of pushes) decides when it comes again. How many pushes are under way follows the endpoint: one more for each
 * success, half as many after a failure.
 */
import type { Dispatcher } from 'undici';
import { Consumer } from '../broker/delivery.ts';
import type { Delivery } from '../broker/delivery.ts';
import type { TokenIssuer } from '../oidc.ts';
import type { Subscription } from '../broker/subscription.ts';
import type { PushConfig } from '../wire.ts';

const ACCEPTED = new Set([102, 200, 201, 202, 204]);
const WINDOW = { first: 10, most: 1000 };

export interface Pushing {
  http: Dispatcher;
  tokens: TokenIssuer;
}

export class PushConsumer extends Consumer {
  readonly #subscription: Subscription;
  readonly #pushing: Pushing;
  #window = WINDOW.first;

  constructor(subscription: Subscription, pushing: Pushing) {
    super();
    this.#subscription = subscription;
    this.#pushing = pushing;
  }

  hasRoom(): boolean {
    return this.outstandingMessages < this.#window;
  }

  deliver(deliveries: Delivery[]): void {
    for (const delivery of deliveries) void this.#push(delivery);
  }

  /** Nothing to do: pushes under way may still be answered, and their leases settle by themselves. */
  end(): void {}

  async #push(delivery: Delivery): Promise<void> {
    const { ackId } = delivery;
    const accepted = await this.#post(delivery).catch(() => false);
    this.#window = accepted ? Math.min(WINDOW.most, this.#window + 1) : Math.max(1, this.#window >> 1);
    if (accepted) this.#subscription.acknowledge([ackId]);
    else this.#subscription.modifyDeadline([ackId], 0);
  }

  async #post(delivery: Delivery): Promise<boolean> {
    const { name, pushConfig, ackDeadlineSeconds } = this.#subscription.settings;
    if (!pushConfig) return false;
    const url = new URL(pushConfig.pushEndpoint);
    const response = await this.#pushing.http.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'CloudPubSub-Google',
        ...(await this.#authorization(pushConfig)),
      },
      body: JSON.stringify(envelope(delivery, name)),
      headersTimeout: ackDeadlineSeconds * 1000,
    });
    await response.body.dump();
    return ACCEPTED.has(response.statusCode);
  }

  async #authorization({ oidcToken, pushEndpoint }: PushConfig): Promise<Record<string, string>> {
    if (!oidcToken?.serviceAccountEmail) return {};
    const audience = oidcToken.audience || pushEndpoint;
    return {
      authorization: `Bearer ${await this.#pushing.tokens.token(oidcToken.serviceAccountEmail, audience)}`,
    };
  }
}

/** The JSON that the real service posts, with both spellings of the id and the time. */
function envelope(delivery: Delivery, subscription: string): object {
  const { data, attributes, messageId } = delivery.message.wire;
  const publishTime = new Date(delivery.message.publishedAt).toISOString();
  return {
    ...(delivery.deliveryAttempt > 0 && { deliveryAttempt: delivery.deliveryAttempt }),
    message: {
      ...(Object.keys(attributes).length > 0 && { attributes }),
      ...(data.length > 0 && { data: data.toString('base64') }),
      messageId,
      message_id: messageId,
      publishTime,
      publish_time: publishTime,
    },
    subscription,
  };
}
