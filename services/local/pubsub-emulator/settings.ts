/** Settings of topics and subscriptions: defaults, bounds, and the fields that an update can change. */
import { parseFilter } from './broker/filter.ts';
import { checkPubSubName } from './names.ts';
import { invalid, unimplemented } from '../emulator/status.ts';
import { toMillis } from '../emulator/duration.ts';
import type { SubscriptionSettings, WireTopic } from './wire.ts';

const daySeconds = 86_400;

const unsupportedTopicFields = {
  kmsKeyName: 'customer-managed encryption keys',
  schemaSettings: 'schemas',
  messageRetentionDuration: 'message retention on topics',
  ingestionDataSourceSettings: 'ingestion',
  messageTransforms: 'message transforms',
};
const unsupportedSubscriptionFields = {
  enableMessageOrdering: 'message ordering',
  enableExactlyOnceDelivery: 'exactly-once delivery',
  retainAckedMessages: 'retaining acknowledged messages',
  bigqueryConfig: 'BigQuery subscriptions',
  bigtableConfig: 'Bigtable subscriptions',
  cloudStorageConfig: 'Cloud Storage subscriptions',
  messageTransforms: 'message transforms',
  detached: 'detached subscriptions',
};
const changeableTopicFields = [
  'labels',
  'message_storage_policy',
  ...Object.keys(unsupportedTopicFields).map(toSnakeCase),
];
const changeableSubscriptionFields = [
  'ack_deadline_seconds',
  'dead_letter_policy',
  'expiration_policy',
  'labels',
  'message_retention_duration',
  'push_config',
  'retry_policy',
];

export function createTopicSettings(request: WireTopic): WireTopic {
  checkPubSubName(request.name, 'topics');
  refuseUnsupported(request, unsupportedTopicFields);
  return { ...request, state: 'ACTIVE' };
}

export function updateTopicSettings(
  current: WireTopic,
  request: WireTopic,
  paths: readonly string[],
): WireTopic {
  return createTopicSettings(
    applyMask(current, request, paths, changeableTopicFields, unsupportedTopicFields),
  );
}

/** @throws {StatusError} INVALID_ARGUMENT or UNIMPLEMENTED, naming the field and its bounds */
export function createSubscriptionSettings(request: SubscriptionSettings): SubscriptionSettings {
  checkPubSubName(request.name, 'subscriptions');
  if (request.filter !== '') parseFilter(request.filter);
  return applyDefaults(request);
}

export function updateSubscriptionSettings(
  current: SubscriptionSettings,
  request: SubscriptionSettings,
  paths: readonly string[],
): SubscriptionSettings {
  return applyDefaults(
    applyMask(current, request, paths, changeableSubscriptionFields, unsupportedSubscriptionFields),
  );
}

function applyDefaults(request: SubscriptionSettings): SubscriptionSettings {
  refuseUnsupported(request, unsupportedSubscriptionFields);
  const settings: SubscriptionSettings = {
    ...request,
    state: 'ACTIVE',
    ackDeadlineSeconds: request.ackDeadlineSeconds || 10,
    messageRetentionDuration: request.messageRetentionDuration ?? { seconds: 7 * daySeconds, nanos: 0 },
    expirationPolicy: request.expirationPolicy ?? { ttl: { seconds: 31 * daySeconds, nanos: 0 } },
  };
  checkBounds('ack_deadline_seconds', settings.ackDeadlineSeconds, 10, 600);
  const retention = (toMillis(settings.messageRetentionDuration) ?? 0) / 1000;
  checkBounds('message_retention_duration', retention, 600, 31 * daySeconds);
  return {
    ...settings,
    ...parsePushConfig(settings),
    ...parseDeadLetterPolicy(settings),
    ...parseRetryPolicy(settings),
  };
}

function parsePushConfig({ pushConfig }: SubscriptionSettings): Pick<SubscriptionSettings, 'pushConfig'> {
  if (!pushConfig?.pushEndpoint) return { pushConfig: { pushEndpoint: '', attributes: {} } };
  const url = URL.parse(pushConfig.pushEndpoint);
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw invalid(
      `Invalid push endpoint (endpoint=${pushConfig.pushEndpoint}): expected an http or https URL.`,
    );
  }
  if (pushConfig.noWrapper) throw unimplemented('payload unwrapping (no_wrapper)');
  return { pushConfig };
}

function parseDeadLetterPolicy(
  settings: SubscriptionSettings,
): Pick<SubscriptionSettings, 'deadLetterPolicy'> {
  const policy = settings.deadLetterPolicy;
  if (!policy?.deadLetterTopic) return { deadLetterPolicy: null };
  checkPubSubName(policy.deadLetterTopic, 'topics');
  const maxDeliveryAttempts = policy.maxDeliveryAttempts || 5;
  checkBounds('max_delivery_attempts', maxDeliveryAttempts, 5, 100);
  return { deadLetterPolicy: { ...policy, maxDeliveryAttempts } };
}

function parseRetryPolicy({ retryPolicy }: SubscriptionSettings): Pick<SubscriptionSettings, 'retryPolicy'> {
  if (!retryPolicy) return { retryPolicy: null };
  const minimumBackoff = retryPolicy.minimumBackoff ?? { seconds: 10, nanos: 0 };
  const maximumBackoff = retryPolicy.maximumBackoff ?? { seconds: 600, nanos: 0 };
  const minimum = (toMillis(minimumBackoff) ?? 0) / 1000;
  checkBounds('minimum_backoff', minimum, 0, 600);
  checkBounds('maximum_backoff', (toMillis(maximumBackoff) ?? 0) / 1000, minimum, 600);
  return { retryPolicy: { minimumBackoff, maximumBackoff } };
}

function checkBounds(field: string, value: number, low: number, high: number): void {
  if (value >= low && value <= high) return;
  throw invalid(`${field} is ${value}: expected a value from ${low} to ${high}.`);
}

function refuseUnsupported(
  request: Readonly<Record<string, unknown>>,
  features: Record<string, string>,
): void {
  for (const [field, feature] of Object.entries(features)) {
    const value = request[field];
    if (Array.isArray(value) ? value.length > 0 : value)
      throw unimplemented(`${feature} (${toSnakeCase(field)})`);
  }
}

/** Returns `current` with the fields in the mask replaced by those of `request`. */
function applyMask<T extends Record<string, unknown>>(
  current: T,
  request: T,
  paths: readonly string[],
  changeable: readonly string[],
  unsupported: Record<string, string>,
): T {
  if (paths.length === 0) throw invalid('The update_mask has no paths: expected at least one.');
  const changed: Record<string, unknown> = { ...current };
  for (const path of paths) {
    const field = path.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    if (!changeable.includes(path) && !Object.hasOwn(unsupported, field)) {
      throw invalid(
        `Invalid update_mask: ${path} cannot be changed, expected one of ${changeable.join(', ')}.`,
      );
    }
    changed[field] = request[field];
  }
  return changed as T;
}

function toSnakeCase(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
