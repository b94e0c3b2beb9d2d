/** Webhook configs and their deliveries in the JSON of the extension, which contains no secrets. */
import type { DeferralReason } from '#shared/db/webhooks/attempts/settle.ts';
import type { StoredWebhook } from '#shared/db/webhooks/configs.ts';
import type { AttemptView, DeliveryState, DeliveryView } from '#shared/db/webhooks/deliveries.ts';
import { isTest } from '#shared/webhooks/body.ts';
import { getMessageId } from '#shared/webhooks/message-id.ts';
import type { WebhookOptions } from '#shared/webhooks/options.ts';

export interface WebhookJson {
  id: string;
  url: string;
  events: WebhookOptions['events'];
  order: 'strict' | 'none';
  hasSecret: boolean;
  hasToken: boolean;
  /** The version of A2A of its bodies. */
  protocolVersion: string;
  createdAt: Date;
  failuresInARow: number;
  state: 'active' | 'disabled';
  /** Set if the config is active and a delivery waits for a retry. */
  nextAttemptAt?: Date;
  disabledAt?: Date;
  disabledReason?: string | null;
}

export function webhookToJson(config: StoredWebhook): WebhookJson {
  return {
    id: config.id,
    url: config.url,
    events: config.events,
    order: config.ordered ? 'strict' : 'none',
    hasSecret: config.signingSecret !== null,
    hasToken: config.token !== null,
    protocolVersion: config.protocolVersion,
    createdAt: config.createdAt,
    failuresInARow: config.failures,
    ...(config.disabledAt === null
      ? {
          state: 'active' as const,
          ...(config.nextAttemptAt !== null && { nextAttemptAt: config.nextAttemptAt }),
        }
      : {
          state: 'disabled' as const,
          disabledAt: config.disabledAt,
          disabledReason: config.disabledReason,
        }),
  };
}

export interface AttemptJson {
  attempt: number;
  startedAt: string;
  durationMs: number;
  /** The HTTP status; absent if the receiver did not answer. */
  status?: number;
  error?: string;
  /** The start of the body of its answer. */
  responseStart?: string;
}

export interface DeliveryJson {
  /** The value of `Webhook-Id`. */
  webhookId: string;
  test?: boolean;
  /** The number of the event; absent of a test. */
  event?: number;
  state: DeliveryState;
  createdAt: Date;
  settledAt?: Date;
  dueAt?: Date;
  deferredReason?: DeferralReason;
  /** The last 20, oldest first. */
  attempts: AttemptJson[];
}

export function deliveryToJson(
  key: { taskId: string; configId: string },
  delivery: DeliveryView,
): DeliveryJson {
  const { seq, state, createdAt, settledAt, due, attempts } = delivery;
  return {
    webhookId: getMessageId({ ...key, seq }),
    ...(isTest(seq) ? { test: true } : { event: seq }),
    state,
    createdAt,
    ...(settledAt !== null && { settledAt }),
    ...(due !== null && {
      dueAt: due.at,
      ...(due.deferredReason !== null && { deferredReason: due.deferredReason }),
    }),
    attempts: attempts.map(attemptToJson),
  };
}

export function attemptToJson({
  attempt,
  startedAt,
  durationMs,
  status,
  error,
  responseStart,
}: AttemptView): AttemptJson {
  return {
    attempt,
    startedAt: new Date(startedAt).toISOString(),
    durationMs,
    ...(status !== null && { status }),
    ...(error !== null && { error }),
    ...(responseStart !== null && { responseStart }),
  };
}
