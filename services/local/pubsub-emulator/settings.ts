/** What a topic or a subscription may be set to: defaults, bounds, and which fields an update may change. */
import { parseFilter } from './broker/filter.ts';
import { checkName } from './names.ts';
import { invalid, unimplemented } from './status.ts';
import { milliseconds, type SubscriptionSettings, type Topic } from './wire.ts';

const DAY_S = 86_400;

const TOPIC_UNSUPPORTED = {
  kmsKeyName: 'customer-managed encryption keys',
  schemaSettings: 'schemas',
  messageRetentionDuration: 'message retention on topics',
  ingestionDataSourceSettings: 'ingestion',
  messageTransforms: 'message transforms',
};
const SUBSCRIPTION_UNSUPPORTED = {
  enableMessageOrdering: 'message ordering',
  enableExactlyOnceDelivery: 'exactly-once delivery',
  retainAckedMessages: 'retaining acknowledged messages',
  bigqueryConfig: 'BigQuery subscriptions',
  bigtableConfig: 'Bigtable subscriptions',
  cloudStorageConfig: 'Cloud Storage subscriptions',
  messageTransforms: 'message transforms',
  detached: 'detached subscriptions',
};
const TOPIC_CHANGEABLE = [
  'labels',
  'message_storage_policy',
  ...Object.keys(TOPIC_UNSUPPORTED).map(snakeCase),
];
const SUBSCRIPTION_CHANGEABLE = [
  'ack_deadline_seconds',
  'dead_letter_policy',
  'expiration_policy',
  'labels',
  'message_retention_duration',
  'push_config',
  'retry_policy',
];

export function newTopic(request: Topic): Topic {
  checkName(request.name, 'topics');
  refuseUnsupported(request, TOPIC_UNSUPPORTED);
  return { ...request, state: 'ACTIVE' };
}

export function changedTopic(current: Topic, request: Topic, paths: readonly string[]): Topic {
  return newTopic(masked(current, request, paths, TOPIC_CHANGEABLE, TOPIC_UNSUPPORTED));
}

/** @throws {StatusError} INVALID_ARGUMENT or UNIMPLEMENTED, naming the field and its bounds */
export function newSubscription(request: SubscriptionSettings): SubscriptionSettings {
  checkName(request.name, 'subscriptions');
  if (request.filter !== '') parseFilter(request.filter);
  return checked(request);
}

export function changedSubscription(
  current: SubscriptionSettings,
  request: SubscriptionSettings,
  paths: readonly string[],
): SubscriptionSettings {
  return checked(masked(current, request, paths, SUBSCRIPTION_CHANGEABLE, SUBSCRIPTION_UNSUPPORTED));
}

function checked(request: SubscriptionSettings): SubscriptionSettings {
  refuseUnsupported(request, SUBSCRIPTION_UNSUPPORTED);
  const settings: SubscriptionSettings = {
    ...request,
    state: 'ACTIVE',
    ackDeadlineSeconds: request.ackDeadlineSeconds || 10,
    messageRetentionDuration: request.messageRetentionDuration ?? { seconds: 7 * DAY_S, nanos: 0 },
    expirationPolicy: request.expirationPolicy ?? { ttl: { seconds: 31 * DAY_S, nanos: 0 } },
  };
  bounded('ack_deadline_seconds', settings.ackDeadlineSeconds, 10, 600);
  const retention = (milliseconds(settings.messageRetentionDuration) ?? 0) / 1000;
  bounded('message_retention_duration', retention, 600, 31 * DAY_S);
  return { ...settings, ...checkedPush(settings), ...checkedDeadLetter(settings), ...checkedRetry(settings) };
}

function checkedPush({ pushConfig }: SubscriptionSettings): Pick<SubscriptionSettings, 'pushConfig'> {
  if (!pushConfig?.pushEndpoint) return { pushConfig: { pushEndpoint: '', attributes: {} } };
  const url = URL.parse(pushConfig.pushEndpoint);
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw invalid(
      `Invalid push endpoint given (endpoint=${pushConfig.pushEndpoint}): it must be an HTTP URL.`,
    );
  }
  if (pushConfig.noWrapper) throw unimplemented('payload unwrapping (no_wrapper)');
  return { pushConfig };
}

function checkedDeadLetter(settings: SubscriptionSettings): Pick<SubscriptionSettings, 'deadLetterPolicy'> {
  const policy = settings.deadLetterPolicy;
  if (!policy?.deadLetterTopic) return { deadLetterPolicy: null };
  checkName(policy.deadLetterTopic, 'topics');
  const maxDeliveryAttempts = policy.maxDeliveryAttempts || 5;
  bounded('max_delivery_attempts', maxDeliveryAttempts, 5, 100);
  return { deadLetterPolicy: { ...policy, maxDeliveryAttempts } };
}

function checkedRetry({ retryPolicy }: SubscriptionSettings): Pick<SubscriptionSettings, 'retryPolicy'> {
  if (!retryPolicy) return { retryPolicy: null };
  const minimumBackoff = retryPolicy.minimumBackoff ?? { seconds: 10, nanos: 0 };
  const maximumBackoff = retryPolicy.maximumBackoff ?? { seconds: 600, nanos: 0 };
  const minimum = (milliseconds(minimumBackoff) ?? 0) / 1000;
  bounded('minimum_backoff', minimum, 0, 600);
  bounded('maximum_backoff', (milliseconds(maximumBackoff) ?? 0) / 1000, minimum, 600);
  return { retryPolicy: { minimumBackoff, maximumBackoff } };
}

function bounded(field: string, value: number, low: number, high: number): void {
  if (value >= low && value <= high) return;
  throw invalid(
    `The value for ${field} is out of bounds. You passed ${value}; it must be from ${low} to ${high}.`,
  );
}

function refuseUnsupported(
  request: Readonly<Record<string, unknown>>,
  features: Record<string, string>,
): void {
  for (const [field, feature] of Object.entries(features)) {
    const value = request[field];
    if (Array.isArray(value) ? value.length > 0 : value)
      throw unimplemented(`${feature} (${snakeCase(field)})`);
  }
}

/** `current` with the fields that the mask names taken from `request`. */
function masked<T extends Record<string, unknown>>(
  current: T,
  request: T,
  paths: readonly string[],
  changeable: readonly string[],
  unsupported: Record<string, string>,
): T {
  if (paths.length === 0)
    throw invalid('The update_mask must be set, and must contain a non-empty paths list.');
  const changed: Record<string, unknown> = { ...current };
  for (const path of paths) {
    const field = path.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    if (!changeable.includes(path) && !Object.hasOwn(unsupported, field)) {
      throw invalid(
        `Invalid update_mask: ${path} cannot be changed. These fields can: ${changeable.join(', ')}.`,
      );
    }
    changed[field] = request[field];
  }
  return changed as T;
}

function snakeCase(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
