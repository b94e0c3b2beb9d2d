/** Configuration of the worker. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import { readPush, type PushAuthConfig } from './callers.ts';
import {
  readAgent,
  readOutbox,
  readCloudTasks,
  readCommon,
  readPubSub,
  type AgentConfig,
  type OutboxConfig,
  type CloudTasksConfig,
  type CommonConfig,
  type PubSubConfig,
} from './common.ts';
import { readDatabase, type DatabaseConfig } from './database.ts';
import { EnvReader, type Environment } from './env-reader.ts';
import { environment } from './environment.ts';
import { isAuthenticated, readOwnerLimits } from './owner-limits.ts';

/** Unique to this process. */
const ownName = `${hostname()}:${process.pid}:${randomBytes(3).toString('hex')}`;

export interface WorkerConfig extends CommonConfig, AgentConfig, OutboxConfig {
  database: DatabaseConfig;
  pubsub: PubSubConfig;
  cloudTasks: CloudTasksConfig;
  /** Base URL of the api service, which serves large files. If undefined, none are stored. */
  publicUrl: string | undefined;
  gemini: GeminiConfig;
  files: FilesConfig;
  /** Definitions of tasks that started earlier: what they name stays allowed. */
  earlierAgentFiles: readonly string[];
  /**
   * Name in leases, heartbeats and logs; no other process may have it. Default: host name, process id and a random part,
   * because containers share the first two.
   */
  workerName: string;
  /** Set if Pub/Sub pushes wake-ups to `POST /turns`; undefined if the worker pulls them. */
  push: PushAuthConfig | undefined;
  /** Concurrent turns per process. */
  concurrency: number;
  /** The share of `concurrency` that one owner can get. */
  ownerShare: number;
  /** Bytes that the turns of one owner may store in one process. 0: any number. */
  ownerBytesPerSecond: number;
  ownerLimits: OwnerLimits;
  leaseSeconds: number;
  maxAttempts: number;
  /** Maximum size of what the steps of one turn record, in bytes of JSON. */
  recordBytes: number;
}

/** How the worker fetches files that messages reference by URL. */
export interface FilesConfig {
  /** Hosts (names or IP literals) that may be private and may use plain http. */
  allowHosts: readonly string[];
  /** Buckets of Cloud Storage whose objects callers may name. */
  buckets: readonly string[];
  timeoutMs: number;
  maxBytes: number;
  /** Downloads of one process at the same time; files, and their bytes, that one turn may fetch. */
  concurrency: number;
  maxTurnFiles: number;
  maxTurnBytes: number;
}

export interface GeminiConfig {
  apiKey: string | undefined;
  vertexai: boolean;
  project: string | undefined;
  location: string | undefined;
  baseUrl: string | undefined;
  /** Ends of calls are reported to the webhooks that are registered for the project. */
  projectWebhooks: boolean;
}

export function readWorkerConfig(env: Environment = environment): WorkerConfig {
  const reader = new EnvReader(env);
  const config = {
    ...readCommon(reader, 8080),
    ...readAgent(reader),
    earlierAgentFiles: reader.list('AGENT_EARLIER_FILES'),
    database: readDatabase(reader),
    pubsub: readPubSub(reader),
    cloudTasks: readCloudTasks(reader),
    ...readOutbox(reader),
    publicUrl: reader.optional('PUBLIC_URL') === undefined ? undefined : reader.url('PUBLIC_URL'),
    gemini: {
      apiKey: reader.optional('GOOGLE_API_KEY') ?? reader.optional('GEMINI_API_KEY'),
      vertexai: reader.flag('GOOGLE_GENAI_USE_VERTEXAI', false),
      project: reader.optional('GOOGLE_CLOUD_PROJECT'),
      location: reader.optional('GOOGLE_CLOUD_LOCATION'),
      baseUrl: reader.optional('GOOGLE_GEMINI_BASE_URL'),
      projectWebhooks: reader.flag('GEMINI_PROJECT_WEBHOOKS', false),
    },
    files: {
      allowHosts: reader.list('FILE_ALLOW_HOSTS'),
      buckets: readBuckets(reader),
      timeoutMs: 1000 * reader.number('FILE_TIMEOUT_SECONDS', 30, { min: 0.1, max: 600, whole: false }),
      maxBytes: reader.number('FILE_MAX_BYTES', 20 * 1024 * 1024, { min: 1, max: 64 * 1024 * 1024 }),
      concurrency: reader.number('FILE_CONCURRENCY', 20, { min: 1, max: 1000 }),
      maxTurnFiles: reader.number('MAX_TURN_FILES', 20, { min: 1, max: 1000 }),
      maxTurnBytes: reader.number('MAX_TURN_FILE_BYTES', 40 * 1024 * 1024, {
        min: 1,
        max: 256 * 1024 * 1024,
      }),
    },
    workerName: readWorkerName(reader),
    push: readPush(reader),
    concurrency: reader.number('WORKER_CONCURRENCY', 100, { min: 1, max: 10_000 }),
    ownerShare: reader.number('WORKER_OWNER_SHARE', 0.8, { min: 0.01, max: 1, whole: false }),
    ownerBytesPerSecond: reader.number(
      'WORKER_OWNER_BYTES_PER_SECOND',
      isAuthenticated(reader) ? 4 * 1024 * 1024 : 0,
      { min: 0, max: 10_000_000_000 },
    ),
    ownerLimits: readOwnerLimits(reader),
    leaseSeconds: reader.number('LEASE_SECONDS', 60, { min: 1, max: 600 }),
    maxAttempts: reader.number('MAX_ATTEMPTS', 5, { min: 1, max: 100 }),
    recordBytes: reader.number('MAX_RECORD_BYTES', 64 * 1024 * 1024, { min: 1024, max: 256 * 1024 * 1024 }),
  };
  reader.check();
  return config;
}

/** Names of buckets: https://docs.cloud.google.com/storage/docs/buckets#naming */
function readBuckets(reader: EnvReader): readonly string[] {
  const buckets = reader.list('FILE_ALLOW_BUCKETS');
  for (const bucket of buckets) {
    if (!/^[a-z0-9][\w.-]{1,220}[a-z0-9]$/.test(bucket)) {
      reader.problem(`FILE_ALLOW_BUCKETS must list names of buckets, such as my-documents, not "${bucket}"`);
    }
  }
  return buckets;
}

/** With a release, the outcomes of its tasks can be compared with those of others (`npm run admin -- outcomes`). */
function readWorkerName(reader: EnvReader): string {
  const name = reader.string('WORKER_NAME', ownName);
  const release = reader.optional('WORKER_RELEASE');
  if (release !== undefined && !/^[\w.-]{1,128}$/.test(release)) {
    reader.problem(`WORKER_RELEASE must be letters, digits, dots, dashes and underscores, not "${release}"`);
  }
  return release === undefined ? name : `${release}/${name}`;
}
