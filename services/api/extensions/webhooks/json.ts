/** Webhook configs and their deliveries in the JSON of the extension, which contains no secrets. */
import type { StoredWebhook } from '#shared/db/webhooks/configs.ts';
import type { AttemptView, DeliveryView } from '#shared/db/webhooks/deliveries.ts';
import { isTest } from '#shared/webhooks/body.ts';
import { getMessageId } from '#shared/webhooks/message-id.ts';

export function webhookToJson(config: StoredWebhook): object {
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
      ? { state: 'active', ...(config.nextAttemptAt !== null && { nextAttemptAt: config.nextAttemptAt }) }
      : { state: 'disabled', disabledAt: config.disabledAt, disabledReason: config.disabledReason }),
  };
}

export function deliveryToJson(key: { taskId: string; configId: string }, delivery: DeliveryView): object {
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

export function attemptToJson(attempt: AttemptView): object {
  return {
    ...Object.fromEntries(Object.entries(attempt).filter(([, value]) => value !== null)),
    startedAt: new Date(attempt.startedAt).toISOString(),
  };
}
