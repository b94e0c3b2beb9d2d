/**
 * Push delivery: each message is POSTed to the endpoint of the subscription. A response of 102, 200, 201, 202
 * or 204 acknowledges it. Any other response, or none within the ack deadline, refuses it, and the retry
 * policy of the subscription (or the default push backoff) decides when it is redelivered. The number of
 * concurrent pushes adapts to the endpoint: it grows by one after a success and is halved after a failure.
 */
import type { Dispatcher } from 'undici';
import { SubscriptionConsumer, type Delivery } from '../broker/delivery.ts';
import type { TokenIssuer } from '../../emulator/oidc.ts';
import type { Subscription } from '../broker/subscription.ts';
import type { WirePushConfig } from '../wire.ts';

const acceptedStatuses = new Set([102, 200, 201, 202, 204]);
const windowSize = { initial: 10, max: 1000 };

export interface PushClients {
  http: Dispatcher;
  tokens: TokenIssuer;
}

export class PushConsumer extends SubscriptionConsumer {
  readonly #subscription: Subscription;
  readonly #clients: PushClients;
  #window = windowSize.initial;

  constructor(subscription: Subscription, clients: PushClients) {
    super();
    this.#subscription = subscription;
    this.#clients = clients;
  }

  hasRoom(): boolean {
    return this.outstandingMessages < this.#window;
  }

  deliver(deliveries: Delivery[]): void {
    for (const delivery of deliveries) void this.#push(delivery);
  }

  /** Does nothing: pushes in flight can still be answered, and otherwise their leases expire. */
  end(): void {}

  async #push(delivery: Delivery): Promise<void> {
    const { ackId } = delivery;
    const accepted = await this.#post(delivery).catch(() => false);
    this.#window = accepted ? Math.min(windowSize.max, this.#window + 1) : Math.max(1, this.#window >> 1);
    if (accepted) this.#subscription.acknowledge([ackId]);
    else this.#subscription.modifyDeadline([ackId], 0);
  }

  async #post(delivery: Delivery): Promise<boolean> {
    const { name, pushConfig, ackDeadlineSeconds } = this.#subscription.settings;
    if (!pushConfig) return false;
    const url = new URL(pushConfig.pushEndpoint);
    const response = await this.#clients.http.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'CloudPubSub-Google',
        ...(await this.#createAuthorization(pushConfig)),
      },
      body: JSON.stringify(createEnvelope(delivery, name)),
      headersTimeout: ackDeadlineSeconds * 1000,
    });
    await response.body.dump();
    return acceptedStatuses.has(response.statusCode);
  }

  async #createAuthorization({ oidcToken, pushEndpoint }: WirePushConfig): Promise<Record<string, string>> {
    if (!oidcToken?.serviceAccountEmail) return {};
    const audience = oidcToken.audience || pushEndpoint;
    return {
      authorization: `Bearer ${await this.#clients.tokens.token(oidcToken.serviceAccountEmail, audience)}`,
    };
  }
}

/** Returns the JSON that the service posts, with both spellings of the id and the publish time. */
function createEnvelope(delivery: Delivery, subscription: string): object {
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
