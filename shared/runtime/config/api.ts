/** Configuration of the api service. */
import { parseCardKeys, type CardKey } from '../../crypto/card-keys.ts';
import type { EncryptionKeys } from '../../crypto/encryption.ts';
import { parseGeminiSecrets } from '../../crypto/gemini-secrets.ts';
import type { WebhookKey } from '../../crypto/signing-keys.ts';
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import { checkHttps, getLocalHosts, readAuth, type AuthConfig } from './auth.ts';
import {
  readAgent,
  readOutbox,
  readCloudTasks,
  readCommon,
  readEncryptionKeys,
  readPubSub,
  readWebhookKeys,
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
import { readTraceUrl } from './telemetry.ts';
import { readWebhookGuard, type WebhookGuardConfig } from './webhook-guard.ts';

export interface ApiConfig extends CommonConfig, AgentConfig, OutboxConfig {
  database: DatabaseConfig;
  pubsub: PubSubConfig;
  cloudTasks: CloudTasksConfig;
  /** A path, or stdout. */
  auditLog: string;
  webhookGuard: WebhookGuardConfig;
  /** Receivers must answer a challenge before webhooks are sent to them. */
  webhookChallenge: boolean;
  encryptionKeys: EncryptionKeys;
  /** Their public keys are published. */
  webhookKeys: readonly WebhookKey[];
  /** Base URL that the agent card lists for clients. */
  publicUrl: string;
  /** False if this process serves only gRPC. */
  http: boolean;
  /** Undefined if this process does not serve gRPC. */
  grpcPort: number | undefined;
  /** `host:port` that the agent card lists for gRPC clients; undefined without gRPC. */
  grpcPublicTarget: string | undefined;
  sendWaitMs: number;
  idempotencyWindowSeconds: number;
  bodyLimitBytes: number;
  auth: AuthConfig;
  protocol: ProtocolConfig;
  limits: ApiLimits;
  ownerLimits: OwnerLimits;
  /** Origins whose pages may call from a browser; `*` allows all. */
  corsOrigins: readonly string[];
  /** The names of this server, if callers need not authenticate and only this machine reaches it. Undefined otherwise. */
  localHosts: ReadonlySet<string> | undefined;
  /** The first key signs the agent card. Empty: it is not signed. */
  cardKeys: readonly CardKey[];
  geminiWebhooks: GeminiWebhookConfig;
  /** Serves MCP at `/mcp`. */
  mcp: boolean;
  /** Serves the console at `/console/`. */
  console: boolean;
  /** For the console: where the traces of a task are found, with `{taskId}` in place of its id. */
  traceUrl: string | undefined;
}

/** How the signatures of Gemini's webhooks are verified. */
export interface GeminiWebhookConfig {
  jwksUrl: string;
  /** Undefined: any. Google does not document it. */
  issuer: string | undefined;
  /** Undefined: the address of the webhook. */
  audience: string | undefined;
  /** Secrets of the webhooks that are registered for the project, `whsec_…`; several while they are rotated. */
  secrets: readonly string[];
}

/** Which parts of A2A are offered. */
export interface ProtocolConfig {
  /** Serves clients of A2A 0.3 as well as 1.0. */
  legacy: boolean;
  streaming: boolean;
  pushNotifications: boolean;
  /** URIs of extensions that every call must activate. */
  requiredExtensions: readonly string[];
}

export interface ApiLimits {
  /** Per caller and process; 0 for no limit. */
  requestsPerMinute: number;
  /** Sent and requested; per caller and process; 0 for no limit. */
  bytesPerSecond: number;
  /** Failed authentications, per address and process; 0 for no limit. */
  authFailuresPerMinute: number;
  /**
   * Redeliveries, tests, and webhook configs of ended tasks; per owner, over all processes; 0 for no limit.
   */
  webhookRequestsPerMinute: number;
  /** Open streams, long polls and waiting sends, per caller and process. */
  streamsPerCaller: number;
  /** Per process. */
  streams: number;
  /** Open connections of each server of a process: HTTP and gRPC. */
  connections: number;
  /** Per address; 0 for no limit. Not in force behind trusted proxies, whose address all clients share. */
  connectionsPerAddress: number;
  message: MessageLimits;
  /** Number of trusted proxies in front, counted from the nearest, whose X-Forwarded-For is used. */
  trustedProxies: number;
}

/** Limits of one message. */
export interface MessageLimits {
  parts: number;
  /** Parts that name a file by URL, which the worker fetches. */
  urlParts: number;
  /** Content of one part, in bytes as sent. */
  partBytes: number;
}

export function readApiConfig(env: Environment = environment): ApiConfig {
  const reader = new EnvReader(env);
  const common = readCommon(reader, 8080);
  const publicUrl = reader.url('PUBLIC_URL', `http://localhost:${common.port}`);
  const auth = readAuth(reader);
  checkHttps(reader, publicUrl, auth);
  const cloudTasks = readCloudTasks(reader);
  const config = {
    ...common,
    ...readAgent(reader),
    database: readDatabase(reader),
    pubsub: readPubSub(reader),
    cloudTasks,
    webhookGuard: readWebhookGuard(reader, publicUrl, cloudTasks.dispatcherUrl),
    auditLog: reader.string('AUDIT_LOG', 'stdout'),
    webhookChallenge: reader.flag('WEBHOOK_CHALLENGE', false),
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
    ...readOutbox(reader),
    auth,
    protocol: readProtocol(reader),
    limits: readLimits(reader),
    ownerLimits: readOwnerLimits(reader),
    corsOrigins: readCorsOrigins(reader),
    localHosts: getLocalHosts(common.host, publicUrl, auth),
    cardKeys: readCardKeys(reader),
    geminiWebhooks: {
      jwksUrl: reader.url(
        'GEMINI_WEBHOOK_JWKS_URL',
        'https://generativelanguage.googleapis.com/.well-known/jwks.json',
      ),
      issuer: reader.optional('GEMINI_WEBHOOK_ISSUER'),
      audience: reader.optional('GEMINI_WEBHOOK_AUDIENCE'),
      secrets: readGeminiSecrets(reader),
    },
    mcp: reader.flag('MCP', true),
    console: reader.flag('CONSOLE', false),
    traceUrl: readTraceUrl(reader),
  };
  reader.check();
  return config;
}

function readGeminiSecrets(reader: EnvReader): readonly string[] {
  const { secrets, problems } = parseGeminiSecrets(reader.secret('GEMINI_WEBHOOK_SECRETS') ?? '');
  for (const problem of problems) reader.problem(`GEMINI_WEBHOOK_SECRETS: ${problem}`);
  return secrets;
}

function readProtocol(reader: EnvReader): ProtocolConfig {
  const versions = reader.list('A2A_VERSIONS');
  if (versions.length > 0 && !versions.includes('1.0')) reader.problem('A2A_VERSIONS must include 1.0');
  const unknown = versions.filter((version) => version !== '1.0' && version !== '0.3');
  if (unknown.length > 0)
    reader.problem(`A2A_VERSIONS must list only 1.0 and 0.3, not "${unknown.join(',')}"`);
  const requiredExtensions = reader.list('A2A_REQUIRED_EXTENSIONS');
  for (const uri of requiredExtensions) {
    if (!URL.canParse(uri)) reader.problem(`A2A_REQUIRED_EXTENSIONS must list URIs, not "${uri}"`);
  }
  return {
    legacy: versions.length === 0 || versions.includes('0.3'),
    streaming: reader.flag('A2A_STREAMING', true),
    pushNotifications: reader.flag('A2A_PUSH_NOTIFICATIONS', true),
    requiredExtensions,
  };
}

function readLimits(reader: EnvReader): ApiLimits {
  // Without authentication this is a single machine, or a gateway in front enforces its own limits.
  const unauthenticated = !isAuthenticated(reader);
  return {
    requestsPerMinute: reader.number('RATE_LIMIT_PER_MINUTE', unauthenticated ? 0 : 6000, {
      min: 0,
      max: 10_000_000,
    }),
    bytesPerSecond: reader.number('RATE_LIMIT_BYTES_PER_SECOND', unauthenticated ? 0 : 4 * 1024 * 1024, {
      min: 0,
      max: 10_000_000_000,
    }),
    authFailuresPerMinute: reader.number('AUTH_FAILURES_PER_MINUTE', 60, { min: 0, max: 1_000_000 }),
    webhookRequestsPerMinute: reader.number('WEBHOOK_REQUESTS_PER_MINUTE', unauthenticated ? 0 : 60, {
      min: 0,
      max: 1_000_000,
    }),
    streamsPerCaller: reader.number('MAX_STREAMS_PER_CALLER', 100, { min: 1, max: 1_000_000 }),
    streams: reader.number('MAX_STREAMS', 10_000, { min: 1, max: 1_000_000 }),
    connections: reader.number('MAX_CONNECTIONS', 20_000, { min: 1, max: 1_000_000 }),
    connectionsPerAddress: reader.number('MAX_CONNECTIONS_PER_ADDRESS', 1_000, { min: 0, max: 1_000_000 }),
    message: {
      parts: reader.number('MAX_PARTS', 100, { min: 1, max: 1000 }),
      urlParts: reader.number('MAX_URL_PARTS', 20, { min: 0, max: 1000 }),
      partBytes: reader.number('MAX_PART_BYTES', 4 * 1024 * 1024, { min: 1024, max: 32 * 1024 * 1024 }),
    },
    trustedProxies: reader.number('TRUSTED_PROXIES', 0, { min: 0, max: 10 }),
  };
}

function readCorsOrigins(reader: EnvReader): string[] {
  const origins = reader.list('CORS_ORIGINS');
  for (const origin of origins) {
    if (origin !== '*' && (!URL.canParse(origin) || new URL(origin).origin !== origin)) {
      reader.problem(`CORS_ORIGINS must list origins such as https://app.example, or *, not "${origin}"`);
    }
  }
  return origins;
}

function readCardKeys(reader: EnvReader): readonly CardKey[] {
  const text = reader.secret('CARD_SIGNING_KEY');
  if (text === undefined) return [];
  const keys = parseCardKeys(text);
  if (keys === undefined) {
    reader.problem(
      'CARD_SIGNING_KEY (or the file in CARD_SIGNING_KEY_FILE) must be a private key as a JWK: P-256 (ES256) or Ed25519 (EdDSA), or a JWK set whose first key is one',
    );
  }
  return keys ?? [];
}

/** A process serves HTTP and gRPC on two ports, or only gRPC on the single port of a Cloud Run service. */
function readBindings(
  reader: EnvReader,
  port: number,
  publicUrl: string,
): Pick<ApiConfig, 'http' | 'grpcPort' | 'grpcPublicTarget'> {
  const http = reader.oneOf('API_BINDINGS', ['all', 'grpc'], 'all') === 'all';
  const configured = reader.optional('GRPC_PORT');
  const grpcPort =
    configured !== undefined || !http ? reader.number('GRPC_PORT', port, { min: 0, max: 65_535 }) : undefined;
  if (http && grpcPort === port && port !== 0) {
    reader.problem('GRPC_PORT must differ from PORT, unless API_BINDINGS is grpc');
  }
  const target = reader.optional('GRPC_PUBLIC_TARGET');
  // The specification expects a URL here, but most clients dial the value as it is and accept only host:port.
  if (target !== undefined && !/^(https?:\/\/)?[^\s/]+:\d+$/.test(target)) {
    reader.problem(
      `GRPC_PUBLIC_TARGET must be host:port such as "agent.example.com:443", or a URL with a port, not "${target}"`,
    );
  }
  const host = URL.canParse(publicUrl) ? new URL(publicUrl).hostname : 'localhost';
  return {
    http,
    grpcPort,
    grpcPublicTarget: target ?? (grpcPort === undefined ? undefined : `${host}:${grpcPort}`),
  };
}
