/** Schemas of the webhooks extension, for the OpenAPI document. */
import { deliveryStates } from '#shared/db/webhooks/deliveries.ts';
import { webhookHealths } from '#shared/db/webhooks/health.ts';
import {
  count,
  flag,
  id,
  integer,
  list,
  named,
  number,
  object,
  oneOf,
  optional,
  orNull,
  text,
  time,
  valueOf,
} from '../../http/openapi/schema.ts';
import { nextPage } from '../../http/openapi/a2a/answers.ts';
import { maxItems } from '../body.ts';
import { pageParameters } from '../tasks/query.ts';
import type { OwnWebhookJson, RedeliveryResult, RedeliverySummary } from './all.ts';
import type { AttemptJson, DeliveryJson, WebhookJson } from './json.ts';

const events = oneOf(['all', 'state', 'end']);
const order = oneOf(['strict', 'none']);

const webhookFields = {
  id: text,
  url: text,
  events,
  order,
  hasSecret: flag,
  hasToken: flag,
  protocolVersion: text,
  createdAt: time,
  failuresInARow: count,
  state: oneOf(['active', 'disabled']),
  nextAttemptAt: optional(time),
  disabledAt: optional(time),
  disabledReason: optional(orNull(text)),
};

const attemptFields = {
  attempt: count,
  startedAt: time,
  durationMs: number,
  status: optional(integer),
  error: optional(text),
  responseStart: optional(text),
};

export const webhook = named('Webhook', object<WebhookJson>(webhookFields));

const attempt = named('DeliveryAttempt', object<AttemptJson>(attemptFields));

const delivery = named(
  'Delivery',
  object<DeliveryJson>({
    webhookId: text,
    test: optional(flag),
    event: optional(integer),
    state: oneOf(deliveryStates),
    createdAt: time,
    settledAt: optional(time),
    dueAt: optional(time),
    deferredReason: optional(
      valueOf({ owner_busy: true, host_busy: true, receiver_failing: true, bytes_used_up: true }),
    ),
    attempts: list(attempt),
  }),
);

export const deliveryPage = named(
  'Deliveries',
  object({ deliveries: list(delivery), nextPageToken: nextPage() }),
);

const health = oneOf(webhookHealths);

const ownWebhook = named(
  'OwnWebhook',
  object<OwnWebhookJson>({
    ...webhookFields,
    taskId: text,
    health,
    lastAttempt: optional(object<AttemptJson & { event: number }>({ ...attemptFields, event: integer })),
  }),
);
export const webhookList = named('Webhooks', object({ webhooks: list(ownWebhook) }));
export const ownWebhookPage = named(
  'OwnWebhooks',
  object({ webhooks: list(ownWebhook), nextPageToken: nextPage() }),
);

export const webhookQuery = {
  health,
  host: { ...text, description: 'The host of the URL, such as example.com.' },
  ...pageParameters,
};
export const deliveryQuery = { state: oneOf(deliveryStates), ...pageParameters };

const since = { ...time, description: 'Deliveries that have failed since then are repeated.' };

/** Redelivery of the webhooks that it names, or of those of the filter. */
export const selectionBody = object({
  since,
  webhooks: optional(list(object({ taskId: id, id }), { minItems: 1, maxItems })),
  health: optional(oneOf(['failing', 'disabled'])),
  host: optional(text),
  pageToken: optional(text),
  dryRun: optional(flag),
});

export const selectionResult = named(
  'RedeliverySummary',
  object<RedeliverySummary>({
    dryRun: flag,
    count: count,
    webhooks: list(
      object<RedeliveryResult>({
        taskId: text,
        id: text,
        outcome: valueOf({ redelivered: true, nothing: true, later: true, not_found: true }),
        count: optional(count),
      }),
    ),
    nextPageToken: nextPage(),
    retryAfterSeconds: optional(number),
  }),
);

export const redeliverBody = object({ since });
export const deliveryCount = named('DeliveryCount', object({ count }));

/** The longest time for which a former secret signs too. */
export const maxOverlapSeconds = 30 * 86_400;

export const secretBody = object({
  secret: optional({ ...text, description: 'whsec_ and 24 to 64 bytes in base64. Absent: a new one.' }),
  overlapSeconds: optional({
    ...number,
    minimum: 0,
    maximum: maxOverlapSeconds,
    description: 'How long webhooks are signed with the former secret too. Default: a day.',
  }),
});
export const secretResult = named('SigningSecret', object({ secret: text }));
