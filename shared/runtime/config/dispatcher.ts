/** Configuration of the dispatcher. */
import type { EncryptionKeys } from '../../crypto/encryption.ts';
import type { WebhookKey } from '../../crypto/signing-keys.ts';
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import { readCallers, type CallersConfig } from './callers.ts';
import {
  readOutbox,
  readCloudTasks,
  readCommon,
  readEncryptionKeys,
  readPubSub,
  readWebhookKeys,
  type OutboxConfig,
  type CloudTasksConfig,
  type CommonConfig,
  type PubSubConfig,
} from './common.ts';
import { readDatabase, type DatabaseConfig } from './database.ts';
import { EnvReader, type Environment } from './env-reader.ts';
import { environment } from './environment.ts';
import { readOwnerLimits } from './owner-limits.ts';
import { readWebhookGuard, type WebhookGuardConfig } from './webhook-guard.ts';

export interface DispatcherConfig extends CommonConfig, OutboxConfig {
  database: DatabaseConfig;
  pubsub: PubSubConfig;
  cloudTasks: CloudTasksConfig;
  webhookGuard: WebhookGuardConfig;
  encryptionKeys: EncryptionKeys;
  webhook: WebhookConfig;
  signing: {
    /** The first one signs. If empty, webhooks are signed only with the secrets of their configs. */
    keys: readonly WebhookKey[];
    /** Base URL of the api service: the `iss` of the tokens. */
    issuer: string;
  };
  callers: CallersConfig;
  ownerLimits: OwnerLimits;
}

export interface WebhookConfig {
  timeoutMs: number;
  /** Seconds before each attempt, starting with 0 for the first. The delivery fails after the last one. */
  scheduleSeconds: readonly number[];
  /** Added to `timeoutMs` for the lease of an attempt: time to read the event and to record the result. */
  leaseMarginSeconds: number;
  /** A larger body is replaced by a smaller one, such as the status alone. */
  maxBodyBytes: number;
  /** Concurrent attempts per process. One owner gets at most half. */
  concurrency: number;
  /** The least number of concurrent attempts per receiver and process. */
  receiverConcurrency: number;
  /** The largest number, while the host answers quickly. */
  maxReceiverConcurrency: number;
}

/** From the Standard Webhooks specification, section "Deliverability": ten attempts over about three days. */
const standardSchedule = [
  0,
  5,
  5 * 60,
  30 * 60,
  2 * 3600,
  5 * 3600,
  10 * 3600,
  14 * 3600,
  20 * 3600,
  24 * 3600,
];

export function readDispatcherConfig(env: Environment = environment): DispatcherConfig {
  const reader = new EnvReader(env);
  const cloudTasks = readCloudTasks(reader);
  const signing = readSigning(reader);
  const config = {
    ...readCommon(reader, 8080),
    database: readDatabase(reader),
    pubsub: readPubSub(reader),
    cloudTasks,
    webhookGuard: readWebhookGuard(reader, cloudTasks.dispatcherUrl, signing.issuer),
    encryptionKeys: readEncryptionKeys(reader),
    callers: readCallers(reader),
    ownerLimits: readOwnerLimits(reader),
    signing,
    ...readOutbox(reader),
    webhook: {
      timeoutMs: 1000 * reader.number('WEBHOOK_TIMEOUT_SECONDS', 15, { min: 0.1, max: 60, whole: false }),
      leaseMarginSeconds: reader.number('WEBHOOK_LEASE_MARGIN_SECONDS', 15, { min: 1, max: 600 }),
      scheduleSeconds: readSchedule(reader),
      maxBodyBytes: reader.number('WEBHOOK_MAX_BODY_BYTES', 1024 * 1024, {
        min: 1024,
        max: 16 * 1024 * 1024,
      }),
      concurrency: reader.number('WEBHOOK_CONCURRENCY', 1000, { min: 2, max: 10_000 }),
      receiverConcurrency: reader.number('WEBHOOK_RECEIVER_CONCURRENCY', 20, { min: 1, max: 1000 }),
      maxReceiverConcurrency: reader.number('WEBHOOK_RECEIVER_MAX_CONCURRENCY', 500, { min: 1, max: 10_000 }),
    },
  };
  reader.check();
  return config;
}

function readSigning(reader: EnvReader): DispatcherConfig['signing'] {
  const keys = readWebhookKeys(reader);
  const [first] = keys;
  if (first === undefined) return { keys, issuer: '' };
  if (first.privateKey === undefined) {
    reader.problem(`WEBHOOK_SIGNING_KEYS: the first key (${first.kid}) must be a private key, with "d"`);
  }
  return { keys, issuer: reader.url('PUBLIC_URL') };
}

function readSchedule(reader: EnvReader): readonly number[] {
  const entries = reader.list('WEBHOOK_SCHEDULE_SECONDS');
  if (entries.length === 0) return standardSchedule;
  const seconds = entries.map(Number);
  if (
    seconds.length > 50 ||
    seconds[0] !== 0 ||
    seconds.some((value) => !(value >= 0 && value <= 30 * 86_400))
  ) {
    reader.problem(
      'WEBHOOK_SCHEDULE_SECONDS must list up to 50 numbers from 0 to 2592000, starting with 0, such as "0,5,300"',
    );
    return standardSchedule;
  }
  return seconds;
}
