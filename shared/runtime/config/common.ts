/** Configuration that several services share. */
import { parseEncryptionKeys, type EncryptionKeys } from '../../crypto/encryption.ts';
import { parseSigningKeys, type WebhookKey } from '../../crypto/signing-keys.ts';
import { faultPointNames, parseFaultPoint, type FaultPoint } from '../fault-points.ts';
import { readContents, type ContentsConfig } from './contents.ts';
import type { EnvReader } from './env-reader.ts';
import { readTelemetry, type TelemetryConfig } from './telemetry.ts';

export interface CommonConfig {
  logLevel: string;
  host: string;
  port: number;
  /** Time to drain after SIGTERM. Cloud Run kills the process after 10 s. */
  drainMs: number;
  /** Where the process kills itself. For tests only. */
  faultPoint: FaultPoint | undefined;
  telemetry: TelemetryConfig;
  contents: ContentsConfig;
}

export interface PubSubConfig {
  project: string;
  topic: string;
  subscription: string;
  deadLetterSubscription: string;
  /** `host:port` of an emulator. The client also reads it from the environment itself. */
  emulatorHost: string | undefined;
}

export interface CloudTasksConfig {
  project: string;
  location: string;
  /** At least one. Tasks are spread over them. */
  queues: readonly string[];
  /** Base URL of the dispatcher, for Cloud Tasks. */
  dispatcherUrl: string;
  /** Service account whose OIDC token Cloud Tasks sends; undefined with the local emulator. */
  serviceAccount: string | undefined;
  /** `host:port` of an emulator that speaks plain gRPC. */
  emulatorHost: string | undefined;
}

export interface AgentConfig {
  agentFile: string | undefined;
  agentModule: string | undefined;
}

export interface OutboxConfig {
  /** How long after its last wake-up a runnable task without a live lease gets another one. */
  wakeupGraceSeconds: number;
  /** Interval of the relay and the reconciler. */
  reconcileMs: number;
  /** Time that an interrupted task waits for its caller before it fails. */
  interruptedExpirySeconds: number;
  /** Time that a task is retained after its end; 0: forever. */
  retentionSeconds: number;
}

export function readCommon(reader: EnvReader, port: number): CommonConfig {
  return {
    logLevel: reader.oneOf('LOG_LEVEL', ['debug', 'info', 'warn', 'error', 'silent'], 'info'),
    host: reader.string('HOST', '0.0.0.0'),
    port: reader.number('PORT', port, { min: 0, max: 65_535 }),
    drainMs: 1000 * reader.number('DRAIN_SECONDS', 8, { min: 0, max: 600, whole: false }),
    faultPoint: readFaultPoint(reader),
    telemetry: readTelemetry(reader),
    contents: readContents(reader),
  };
}

function readFaultPoint(reader: EnvReader): FaultPoint | undefined {
  const text = reader.optional('FAULT_POINT');
  if (text === undefined) return undefined;
  const point = parseFaultPoint(text);
  if (point === undefined) {
    reader.problem(
      `FAULT_POINT must be one of ${faultPointNames.join(', ')}, optionally with ":n" for the n-th time, not "${text}"`,
    );
  }
  return point;
}

export function readAgent(reader: EnvReader): AgentConfig {
  return { agentFile: reader.optional('AGENT_FILE'), agentModule: reader.optional('AGENT_MODULE') };
}

export function readPubSub(reader: EnvReader): PubSubConfig {
  return {
    project: reader.string('GOOGLE_CLOUD_PROJECT'),
    topic: reader.string('PUBSUB_TOPIC', 'longhaul-turns'),
    subscription: reader.string('PUBSUB_SUBSCRIPTION', 'longhaul-turns-worker'),
    deadLetterSubscription: reader.string('PUBSUB_DEAD_LETTER_SUBSCRIPTION', 'longhaul-turns-dead-worker'),
    emulatorHost: reader.optional('PUBSUB_EMULATOR_HOST'),
  };
}

export function readCloudTasks(reader: EnvReader): CloudTasksConfig {
  return {
    project: reader.optional('GOOGLE_CLOUD_PROJECT') ?? '',
    location: reader.string('CLOUD_TASKS_LOCATION', 'us-central1'),
    queues: readCloudTasksQueues(reader),
    dispatcherUrl: reader.url('DISPATCHER_URL'),
    serviceAccount: reader.optional('CLOUD_TASKS_SERVICE_ACCOUNT'),
    emulatorHost: reader.optional('CLOUD_TASKS_EMULATOR_HOST'),
  };
}

export function readCloudTasksQueues(reader: EnvReader): readonly string[] {
  const queues = reader
    .string('CLOUD_TASKS_QUEUE', 'longhaul-webhooks')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  if (queues.length === 0) reader.problem('CLOUD_TASKS_QUEUE must list at least one queue');
  return queues;
}

export function readOutbox(reader: EnvReader): OutboxConfig {
  const days = { min: 0, max: 3650, whole: false };
  return {
    wakeupGraceSeconds: reader.number('WAKEUP_GRACE_SECONDS', 10, { min: 1, max: 3600 }),
    interruptedExpirySeconds: 86_400 * reader.number('INTERRUPTED_EXPIRY_DAYS', 30, { ...days, min: 0.001 }),
    retentionSeconds: 86_400 * reader.number('RETENTION_DAYS', 90, days),
    reconcileMs: 1000 * reader.number('RECONCILE_SECONDS', 2, { min: 0.05, max: 3600, whole: false }),
  };
}

export function readEncryptionKeys(reader: EnvReader): EncryptionKeys {
  const text = reader.secret('ENCRYPTION_KEYS') ?? '';
  if (text === '') reader.problem('ENCRYPTION_KEYS is not set');
  const { keys, problems } = parseEncryptionKeys(text);
  if (text !== '') for (const problem of problems) reader.problem(`ENCRYPTION_KEYS: ${problem}`);
  return keys;
}

export function readWebhookKeys(reader: EnvReader): WebhookKey[] {
  const text = reader.secret('WEBHOOK_SIGNING_KEYS');
  if (text === undefined) return [];
  const { keys, problems } = parseSigningKeys(text);
  for (const problem of problems) reader.problem(`WEBHOOK_SIGNING_KEYS: ${problem}`);
  return keys;
}
