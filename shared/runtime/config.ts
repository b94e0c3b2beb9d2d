/**
 * The configuration of the services: the one file that reads the environment. Every variable stands here with its
 * default and bounds; README.md lists them for people.
 */
import { hostname } from 'node:os';
import { parseEncryptionKeys, type EncryptionKeys } from '../db/seal.ts';
import { googleCertsUrl, type CallerAuthConfig } from '../gcp/caller-auth.ts';
import { readAddress, readDatabase, type DatabaseAddress, type DatabaseConfig } from './database-config.ts';
import { readAuth, type AuthConfig } from './auth-config.ts';
import { parseSigningKeys, type WebhookKey } from '../webhooks/signing-keys.ts';
import { EnvReader, type Environment } from './env.ts';
import { faultPointNames, parseFaultPoint, type FaultPoint } from './fault-points.ts';

export const environment: Environment = process.env;

export interface CommonConfig {
  logLevel: string;
  host: string;
  port: number;
  /** Time that a service gives itself to stop after SIGTERM; Cloud Run kills it after 10 s. */
  drainMs: number;
  /** Where the process kills itself; for tests. */
  faultPoint: FaultPoint | undefined;
}

export interface PubSubConfig {
  project: string;
  topic: string;
  subscription: string;
  deadLetterSubscription: string;
  /** `host:port` of a stand-in, which the client reads from the environment itself. */
  emulatorHost: string | undefined;
}

export interface CloudTasksConfig {
  project: string;
  location: string;
  queue: string;
  /** Base URL of the dispatcher, as Cloud Tasks reaches it. */
  dispatcherUrl: string;
  /** The service account whose OIDC token Cloud Tasks adds; none against the local stand-in. */
  serviceAccount: string | undefined;
  /** `host:port` of a stand-in that speaks plain gRPC. */
  emulatorHost: string | undefined;
}

export interface AgentConfig {
  agentFile: string | undefined;
  agentModule: string | undefined;
}

export interface BellConfig {
  /** How long after its last bell a runnable task without a live lease is rung for again. */
  bellGraceSeconds: number;
  /** How often the relay and the reconciler look. */
  reconcileMs: number;
  /** How long an interrupted task waits for its caller before it fails. */
  interruptedExpirySeconds: number;
  /** How long a task is kept after its end; 0: for ever. */
  retentionSeconds: number;
}

export interface WebhookGuardConfig {
  /** Hosts (names or IP literals) that may be private and may use plain http. */
  allowHosts: readonly string[];
}

export interface ApiConfig extends CommonConfig, AgentConfig, BellConfig {
  database: DatabaseConfig;
  pubsub: PubSubConfig;
  cloudTasks: CloudTasksConfig;
  webhookGuard: WebhookGuardConfig;
  encryptionKeys: EncryptionKeys;
  /** Their public halves are published. */
  webhookKeys: readonly WebhookKey[];
  /** The address that the agent card gives to clients. */
  publicUrl: string;
  /** False: this process speaks gRPC alone. */
  http: boolean;
  /** Undefined: this process speaks no gRPC. */
  grpcPort: number | undefined;
  /** `host:port` that the agent card gives to gRPC clients; undefined: there is no gRPC. */
  grpcPublicTarget: string | undefined;
  sendWaitMs: number;
  idempotencyWindowSeconds: number;
  bodyLimitBytes: number;
  auth: AuthConfig;
  protocol: ProtocolConfig;
  limits: ApiLimits;
  /** Origins whose pages may call from a browser. */
  corsOrigins: readonly string[];
  /** Signs the agent card. */
  cardSigningKey: SigningKey | undefined;
}

/** How much of A2A is offered. */
export interface ProtocolConfig {
  /** Clients of 0.3 are served beside those of 1.0. */
  legacy: boolean;
  streaming: boolean;
  pushNotifications: boolean;
  /** URIs of extensions without which a call is refused. */
  requiredExtensions: readonly string[];
}

export interface ApiLimits {
  /** For each caller in each process; 0: no limit. */
  requestsPerMinute: number;
  streamsPerCaller: number;
  /** In each process. */
  streams: number;
  /** Of one part of a message, as it is sent. */
  partBytes: number;
  /** Proxies in front whose X-Forwarded-For is believed, from the nearest on. */
  trustedProxies: number;
}

export interface SigningKey {
  jwk: Readonly<Record<string, string>> & { kty: 'EC' | 'OKP' };
  alg: 'ES256' | 'EdDSA';
}

export interface WorkerConfig extends CommonConfig, AgentConfig, BellConfig {
  database: DatabaseConfig;
  pubsub: PubSubConfig;
  cloudTasks: CloudTasksConfig;
  gemini: GeminiConfig;
  /** Named in leases and logs: the host and the process, unless set. */
  workerName: string;
  /** Where bells come from: pulled, or pushed by Pub/Sub to `POST /turns`. */
  push: PushConfig | undefined;
  /** Turns at once in one process. */
  concurrency: number;
  leaseSeconds: number;
  maxAttempts: number;
}

export interface PushConfig {
  auth: CallerAuthConfig;
  /** The service account of the push subscription. */
  account: string;
  deadlineMs: number;
}

export interface GeminiConfig {
  apiKey: string | undefined;
  vertexai: boolean;
  project: string | undefined;
  location: string | undefined;
  baseUrl: string | undefined;
}

export interface DispatcherConfig extends CommonConfig, BellConfig {
  database: DatabaseConfig;
  pubsub: PubSubConfig;
  cloudTasks: CloudTasksConfig;
  webhookGuard: WebhookGuardConfig;
  encryptionKeys: EncryptionKeys;
  webhook: WebhookConfig;
  signing: {
    /** The first signs; none: webhooks are signed by the secrets of their configs alone. */
    keys: readonly WebhookKey[];
    /** The address of the front door: `iss` of the tokens. */
    issuer: string;
  };
  callers: CallersConfig;
}

/** Who may call the dispatcher, and for what. */
export interface CallersConfig {
  auth: CallerAuthConfig;
  /** The service account of Cloud Tasks: `POST /deliver`. */
  tasksAccount: string;
  /** The service account of Cloud Scheduler: `POST /reconcile`. */
  schedulerAccount: string;
}

export interface WebhookConfig {
  timeoutMs: number;
  /** Seconds before each attempt, the first included (0); the delivery fails when they are spent. */
  scheduleSeconds: readonly number[];
  /** What the lease on an attempt lasts longer than `timeoutMs`: reading the event before, recording after. */
  leaseMarginSeconds: number;
  /** Larger bodies are replaced by the status alone. */
  maxBodyBytes: number;
  /** Attempts of one process at one host at a time. */
  hostConcurrency: number;
}

/** The schedule of the Standard Webhooks specification, section "Deliverability": ten attempts over about three days. */
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

export function readApiConfig(env: Environment = environment): ApiConfig {
  const reader = new EnvReader(env);
  const common = readCommon(reader, 8080);
  const publicUrl = reader.url('PUBLIC_URL', `http://localhost:${common.port}`);
  const config = {
    ...common,
    ...readAgent(reader),
    database: readDatabase(reader),
    pubsub: readPubSub(reader),
    cloudTasks: readCloudTasks(reader),
    webhookGuard: { allowHosts: reader.list('WEBHOOK_ALLOW_HOSTS') },
    encryptionKeys: readEncryptionKeys(reader),
    webhookKeys: readWebhookKeys(reader),
    publicUrl,
    ...readBindings(reader, common.port, publicUrl),
    sendWaitMs: 1000 * reader.number('SEND_WAIT_SECONDS', 50, { min: 0, max: 3500, whole: false }),
    idempotencyWindowSeconds: reader.number('IDEMPOTENCY_WINDOW_SECONDS', 86_400, {
      min: 0,
      max: 31_536_000,
    }),
    bodyLimitBytes: reader.number('BODY_LIMIT_BYTES', 8 * 1024 * 1024, { min: 1024, max: 32 * 1024 * 1024 }),
    ...readBells(reader),
    auth: readAuth(reader),
    protocol: readProtocol(reader),
    limits: readLimits(reader),
    corsOrigins: readCorsOrigins(reader),
    cardSigningKey: readSigningKey(reader),
  };
  reader.check();
  return config;
}

function readProtocol(reader: EnvReader): ProtocolConfig {
  const versions = reader.list('A2A_VERSIONS');
  if (versions.length > 0 && !versions.includes('1.0')) reader.problem('A2A_VERSIONS must include 1.0');
  const unknown = versions.filter((version) => version !== '1.0' && version !== '0.3');
  if (unknown.length > 0) reader.problem(`A2A_VERSIONS can list 1.0 and 0.3, not "${unknown.join(',')}"`);
  const requiredExtensions = reader.list('A2A_REQUIRED_EXTENSIONS');
  for (const uri of requiredExtensions) {
    if (!URL.canParse(uri)) reader.problem(`A2A_REQUIRED_EXTENSIONS must be URIs, not "${uri}"`);
  }
  return {
    legacy: versions.length === 0 || versions.includes('0.3'),
    streaming: reader.flag('A2A_STREAMING', true),
    pushNotifications: reader.flag('A2A_PUSH_NOTIFICATIONS', true),
    requiredExtensions,
  };
}

function readLimits(reader: EnvReader): ApiLimits {
  // Where nobody authenticates, it is one machine, or something in front that has limits of its own.
  const anybody = reader.list('AUTH_MODES').every((mode) => mode === 'none');
  return {
    requestsPerMinute: reader.number('RATE_LIMIT_PER_MINUTE', anybody ? 0 : 6000, {
      min: 0,
      max: 10_000_000,
    }),
    streamsPerCaller: reader.number('MAX_STREAMS_PER_CALLER', 100, { min: 1, max: 1_000_000 }),
    streams: reader.number('MAX_STREAMS', 10_000, { min: 1, max: 1_000_000 }),
    partBytes: reader.number('MAX_PART_BYTES', 4 * 1024 * 1024, { min: 1024, max: 32 * 1024 * 1024 }),
    trustedProxies: reader.number('TRUSTED_PROXIES', 0, { min: 0, max: 10 }),
  };
}

function readCorsOrigins(reader: EnvReader): string[] {
  const origins = reader.list('CORS_ORIGINS');
  for (const origin of origins) {
    if (origin !== '*' && (!URL.canParse(origin) || new URL(origin).origin !== origin)) {
      reader.problem(`CORS_ORIGINS must be origins such as https://app.example, or *, not "${origin}"`);
    }
  }
  return origins;
}

function readSigningKey(reader: EnvReader): SigningKey | undefined {
  const text = reader.secret('CARD_SIGNING_KEY');
  if (text === undefined) return undefined;
  try {
    const jwk = JSON.parse(text) as SigningKey['jwk'];
    const kind = `${jwk.kty} ${jwk['crv']}`;
    const alg = kind === 'EC P-256' ? 'ES256' : kind === 'OKP Ed25519' ? 'EdDSA' : undefined;
    if (alg !== undefined && typeof jwk['d'] === 'string') return { jwk, alg };
  } catch {
    // What the file holds is a secret, and so is what a parser says of it.
  }
  reader.problem(
    'CARD_SIGNING_KEY (or the file that CARD_SIGNING_KEY_FILE names) must hold one private key as a JWK, of P-256 (ES256) or Ed25519 (EdDSA)',
  );
  return undefined;
}

export function readWorkerConfig(env: Environment = environment): WorkerConfig {
  const reader = new EnvReader(env);
  const config = {
    ...readCommon(reader, 8080),
    ...readAgent(reader),
    database: readDatabase(reader),
    pubsub: readPubSub(reader),
    cloudTasks: readCloudTasks(reader),
    ...readBells(reader),
    gemini: {
      apiKey: reader.optional('GOOGLE_API_KEY') ?? reader.optional('GEMINI_API_KEY'),
      vertexai: reader.flag('GOOGLE_GENAI_USE_VERTEXAI', false),
      project: reader.optional('GOOGLE_CLOUD_PROJECT'),
      location: reader.optional('GOOGLE_CLOUD_LOCATION'),
      baseUrl: reader.optional('GOOGLE_GEMINI_BASE_URL'),
    },
    workerName: reader.string('WORKER_NAME', `${hostname()}:${process.pid}`),
    push: readPush(reader),
    concurrency: reader.number('WORKER_CONCURRENCY', 100, { min: 1, max: 10_000 }),
    leaseSeconds: reader.number('LEASE_SECONDS', 30, { min: 1, max: 600 }),
    maxAttempts: reader.number('MAX_ATTEMPTS', 5, { min: 1, max: 100 }),
  };
  reader.check();
  return config;
}

export function readDispatcherConfig(env: Environment = environment): DispatcherConfig {
  const reader = new EnvReader(env);
  const config = {
    ...readCommon(reader, 8080),
    database: readDatabase(reader),
    pubsub: readPubSub(reader),
    cloudTasks: readCloudTasks(reader),
    webhookGuard: { allowHosts: reader.list('WEBHOOK_ALLOW_HOSTS') },
    encryptionKeys: readEncryptionKeys(reader),
    callers: readCallers(reader),
    signing: readSigning(reader),
    ...readBells(reader),
    webhook: {
      timeoutMs: 1000 * reader.number('WEBHOOK_TIMEOUT_SECONDS', 15, { min: 0.1, max: 60, whole: false }),
      leaseMarginSeconds: reader.number('WEBHOOK_LEASE_MARGIN_SECONDS', 15, { min: 1, max: 600 }),
      scheduleSeconds: readSchedule(reader),
      maxBodyBytes: reader.number('WEBHOOK_MAX_BODY_BYTES', 1024 * 1024, {
        min: 1024,
        max: 16 * 1024 * 1024,
      }),
      hostConcurrency: reader.number('WEBHOOK_HOST_CONCURRENCY', 20, { min: 1, max: 1000 }),
    },
  };
  reader.check();
  return config;
}

export interface MigrateConfig {
  address: DatabaseAddress;
  /** Makes the database where it does not exist. */
  create: boolean;
  /** The user that may read and write rows afterwards. */
  grantTo: string | undefined;
}

export function readMigrateConfig(env: Environment = environment): MigrateConfig {
  const reader = new EnvReader(env);
  const config = {
    address: readAddress(reader),
    create: reader.flag('DATABASE_CREATE', false),
    grantTo: reader.secret('DATABASE_GRANT_TO'),
  };
  reader.check();
  return config;
}

export function readAdminConfig(env: Environment = environment): { database: DatabaseConfig } {
  const reader = new EnvReader(env);
  const config = { database: readDatabase(reader) };
  reader.check();
  return config;
}

export function readEncryptionConfig(env: Environment = environment): { encryptionKeys: EncryptionKeys } {
  const reader = new EnvReader(env);
  const config = { encryptionKeys: readEncryptionKeys(reader) };
  reader.check();
  return config;
}

function readCommon(reader: EnvReader, port: number): CommonConfig {
  return {
    logLevel: reader.oneOf('LOG_LEVEL', ['debug', 'info', 'warn', 'error', 'silent'], 'info'),
    host: reader.string('HOST', '0.0.0.0'),
    port: reader.number('PORT', port, { min: 0, max: 65_535 }),
    drainMs: 1000 * reader.number('DRAIN_SECONDS', 8, { min: 0, max: 600, whole: false }),
    faultPoint: readFaultPoint(reader),
  };
}

function readFaultPoint(reader: EnvReader): FaultPoint | undefined {
  const text = reader.optional('FAULT_POINT');
  if (text === undefined) return undefined;
  const point = parseFaultPoint(text);
  if (point === undefined) {
    reader.problem(
      `FAULT_POINT must be one of ${faultPointNames.join(', ')}, with ":n" for the n-th passage, not "${text}"`,
    );
  }
  return point;
}

function readAgent(reader: EnvReader): AgentConfig {
  return { agentFile: reader.optional('AGENT_FILE'), agentModule: reader.optional('AGENT_MODULE') };
}

/** One process may speak HTTP and gRPC on two ports, or gRPC alone on the one port that a Cloud Run service has. */
function readBindings(
  reader: EnvReader,
  port: number,
  publicUrl: string,
): Pick<ApiConfig, 'http' | 'grpcPort' | 'grpcPublicTarget'> {
  const http = reader.oneOf('API_BINDINGS', ['all', 'grpc'], 'all') === 'all';
  const named = reader.optional('GRPC_PORT');
  const grpcPort =
    named !== undefined || !http ? reader.number('GRPC_PORT', port, { min: 0, max: 65_535 }) : undefined;
  if (http && grpcPort === port && port !== 0) {
    reader.problem('GRPC_PORT must not be PORT, unless API_BINDINGS is grpc');
  }
  const target = reader.optional('GRPC_PUBLIC_TARGET');
  if (target !== undefined && !/^[^\s/]+:\d+$/.test(target)) {
    reader.problem(`GRPC_PUBLIC_TARGET must be host:port, such as "agent.example.com:443", not "${target}"`);
  }
  const host = URL.canParse(publicUrl) ? new URL(publicUrl).hostname : 'localhost';
  return {
    http,
    grpcPort,
    grpcPublicTarget: target ?? (grpcPort === undefined ? undefined : `${host}:${grpcPort}`),
  };
}

function readEncryptionKeys(reader: EnvReader): EncryptionKeys {
  const text = reader.secret('ENCRYPTION_KEYS') ?? '';
  if (text === '') reader.problem('ENCRYPTION_KEYS is not set');
  const { keys, problems } = parseEncryptionKeys(text);
  if (text !== '') for (const problem of problems) reader.problem(`ENCRYPTION_KEYS: ${problem}`);
  return keys;
}

function readWebhookKeys(reader: EnvReader): WebhookKey[] {
  const text = reader.secret('WEBHOOK_SIGNING_KEYS');
  if (text === undefined) return [];
  const { keys, problems } = parseSigningKeys(text);
  for (const problem of problems) reader.problem(`WEBHOOK_SIGNING_KEYS: ${problem}`);
  return keys;
}

function readSigning(reader: EnvReader): DispatcherConfig['signing'] {
  const keys = readWebhookKeys(reader);
  const [first] = keys;
  if (first === undefined) return { keys, issuer: '' };
  if (first.privateKey === undefined) {
    reader.problem(`WEBHOOK_SIGNING_KEYS: the key ${first.kid} comes first and must be private, with "d"`);
  }
  return { keys, issuer: reader.url('PUBLIC_URL') };
}

function readPubSub(reader: EnvReader): PubSubConfig {
  return {
    project: reader.string('GOOGLE_CLOUD_PROJECT'),
    topic: reader.string('PUBSUB_TOPIC', 'longhaul-turns'),
    subscription: reader.string('PUBSUB_SUBSCRIPTION', 'longhaul-turns-worker'),
    deadLetterSubscription: reader.string('PUBSUB_DEAD_LETTER_SUBSCRIPTION', 'longhaul-turns-dead-worker'),
    emulatorHost: reader.optional('PUBSUB_EMULATOR_HOST'),
  };
}

function readCloudTasks(reader: EnvReader): CloudTasksConfig {
  return {
    project: reader.optional('GOOGLE_CLOUD_PROJECT') ?? '',
    location: reader.string('CLOUD_TASKS_LOCATION', 'us-central1'),
    queue: reader.string('CLOUD_TASKS_QUEUE', 'longhaul-webhooks'),
    dispatcherUrl: reader.url('DISPATCHER_URL'),
    serviceAccount: reader.optional('CLOUD_TASKS_SERVICE_ACCOUNT'),
    emulatorHost: reader.optional('CLOUD_TASKS_EMULATOR_HOST'),
  };
}

function readPush(reader: EnvReader): PushConfig | undefined {
  if (reader.oneOf('WORKER_MODE', ['pull', 'push'], 'pull') === 'pull') return undefined;
  const deadlineMs = 1000 * reader.number('PUSH_DEADLINE_SECONDS', 600, { min: 1, max: 600 });
  const mode = reader.oneOf('CALLER_AUTH', ['none', 'iam', 'verify'], 'iam');
  if (mode === 'none') {
    if (reader.optional('PUBSUB_EMULATOR_HOST') === undefined) {
      reader.problem('CALLER_AUTH=none lets everybody call: it is taken only with PUBSUB_EMULATOR_HOST');
    }
    return { auth: { mode }, account: '', deadlineMs };
  }
  const audience = reader.url('WORKER_URL');
  const certsUrl = reader.url('GOOGLE_CERTS_URL', googleCertsUrl);
  return {
    auth: mode === 'iam' ? { mode, audience } : { mode, audience, certsUrl },
    account: reader.string('PUBSUB_PUSH_SERVICE_ACCOUNT'),
    deadlineMs,
  };
}

function readCallers(reader: EnvReader): CallersConfig {
  const local = reader.optional('CLOUD_TASKS_EMULATOR_HOST') !== undefined;
  const mode = reader.oneOf('CALLER_AUTH', ['none', 'iam', 'verify'], 'none');
  if (!local && reader.optional('CALLER_AUTH') === undefined) {
    reader.problem('CALLER_AUTH must be iam (Cloud Run checks who calls) or verify (this service does)');
  }
  if (!local && reader.optional('CALLER_AUTH') === 'none') {
    reader.problem('CALLER_AUTH=none lets everybody call: it is taken only with CLOUD_TASKS_EMULATOR_HOST');
  }
  if (mode === 'none') return { auth: { mode }, tasksAccount: '', schedulerAccount: '' };
  const audience = reader.url('DISPATCHER_URL');
  const certsUrl = reader.url('GOOGLE_CERTS_URL', googleCertsUrl);
  return {
    auth: mode === 'iam' ? { mode, audience } : { mode, audience, certsUrl },
    tasksAccount: reader.string('CLOUD_TASKS_SERVICE_ACCOUNT'),
    schedulerAccount: reader.string('SCHEDULER_SERVICE_ACCOUNT'),
  };
}

function readBells(reader: EnvReader): BellConfig {
  const days = { min: 0, max: 3650, whole: false };
  return {
    bellGraceSeconds: reader.number('BELL_GRACE_SECONDS', 10, { min: 1, max: 3600 }),
    interruptedExpirySeconds: 86_400 * reader.number('INTERRUPTED_EXPIRY_DAYS', 30, { ...days, min: 0.001 }),
    retentionSeconds: 86_400 * reader.number('RETENTION_DAYS', 90, days),
    reconcileMs: 1000 * reader.number('RECONCILE_SECONDS', 2, { min: 0.05, max: 3600, whole: false }),
  };
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
      'WEBHOOK_SCHEDULE_SECONDS must be up to 50 numbers of seconds from 0 to 2592000, the first 0, as "0,5,300"',
    );
    return standardSchedule;
  }
  return seconds;
}
