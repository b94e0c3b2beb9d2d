/**
 * The HTTP and gRPC servers of the api service in this process, in front of a handler that the test supplies.
 */
import type { AddressInfo } from 'node:net';
import { TaskState, type AgentCard, type Task } from '@a2a-js/sdk';
import { TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler, ServerCallContext } from '@a2a-js/sdk/server';
import type { RouteOptions } from 'fastify';
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import type { ReadyCheck } from '#shared/runtime/health.ts';
import { createLogger, type Logger } from '#shared/runtime/log.ts';
import { createAuthenticate } from '#services/api/auth/authenticate.ts';
import { listenGrpc, type GrpcTimeouts } from '#services/api/bindings/grpc/grpc.ts';
import { createCardSigner } from '#services/api/card/signature.ts';
import type { CallbackRoutesParts } from '#services/api/callbacks/routes.ts';
import { createAgentCard } from '#services/api/card/agent-card.ts';
import type { ReadConsole } from '#services/api/console/files.ts';
import type { TasksRoutesParts } from '#services/api/extensions/tasks/routes.ts';
import type { ScheduleRoutesParts } from '#services/api/extensions/schedules/routes.ts';
import type { OpsRoutesParts } from '#services/api/extensions/ops/routes.ts';
import type { WebhookRoutesParts } from '#services/api/extensions/webhooks/routes.ts';
import { InternalError, UnavailableError } from '#services/api/handler/errors.ts';
import { guardOperations } from '#services/api/handler/scopes.ts';
import type { ConditionalParts } from '#services/api/http/conditional.ts';
import { createAdmission } from '#services/api/limits/admission.ts';
import { AuthFailures } from '#services/api/limits/auth-failures.ts';
import { ByteRates } from '#shared/runtime/byte-rates.ts';
import type { ConnectionLimits } from '#services/api/limits/connections.ts';
import { LargeWork } from '#shared/runtime/large-work.ts';
import { Receiving, type ReceivingLimits } from '#services/api/limits/receiving.ts';
import type { McpRoutesParts } from '#services/api/mcp/routes.ts';
import { createApiServer } from '#services/api/server.ts';
import type { Cleanup } from '../cleanup.ts';
import { createRawGrpc, createRawJsonRpc, createRawRest, type RawBinding } from '../clients/raw-bindings.ts';

export const bodyLimitBytes = 20_000;

const audit = { write: () => undefined, writeWithOthers: async () => undefined };
const noAuth: AuthConfig = { apiKeys: undefined, jwt: undefined, cloudRunIam: undefined, operators: [] };

export interface TestApiServerOptions {
  /** Edits the card before the servers start. */
  changeCard?: (card: AgentCard) => void;
  /** Default: always ready. */
  ready?: ReadyCheck;
  /** Default: authentication is off. */
  auth?: AuthConfig;
  bodyLimitBytes?: number;
  publicUrl?: string;
  corsOrigins?: readonly string[];
  /** Default: other hosts and origins are accepted. */
  localHosts?: ReadonlySet<string>;
  /** Default: no limit that a test reaches. */
  connections?: ConnectionLimits;
  receiving?: ReceivingLimits;
  largeWork?: LargeWork;
  /** Bytes per second of a caller. Default: no limit. */
  bytesPerSecond?: number;
  /** For tests of these routes, with their database. */
  schedules?: ScheduleRoutesParts;
  tasks?: TasksRoutesParts;
  webhooks?: WebhookRoutesParts;
  ops?: OpsRoutesParts;
  /** Default: the console is not served. */
  readConsole?: ReadConsole;
  /** Default: the console has no link to traces. */
  traceUrl?: string;
  /** Serves MCP, of which only refusals can be tested. */
  mcp?: true;
  /** Secrets of Gemini's webhooks of the project. Default: those are not served. */
  geminiSecrets?: readonly string[];
  /** Default: discards everything. */
  log?: Logger;
  /** Deadlines of gRPC calls. */
  timeouts?: Partial<GrpcTimeouts>;
}

export interface TestApiServer {
  url: string;
  grpcTarget: string;
  bindings: RawBinding[];
  /** All routes of the HTTP server; `audit` as in services/api/http/audit.ts. */
  routes: { method: string; url: string; audit: string | undefined }[];
  /** Closes the gRPC server as a drain does. Called when the test ends, unless the test has. */
  closeGrpc: () => Promise<void>;
}

/** @param operations those that the test calls */
export async function startApiServer(
  t: Cleanup,
  operations: Partial<A2ARequestHandler>,
  options: TestApiServerOptions = {},
): Promise<TestApiServer> {
  const { auth = noAuth, publicUrl = 'http://localhost', timeouts } = options;
  const definition = {
    name: 'a',
    description: 'b',
    version: '1',
    skills: [],
    inputModes: [],
    outputModes: [],
    mcpServers: {},
    toolModules: [],
    model: {},
  };
  const card = createAgentCard(definition as unknown as Parameters<typeof createAgentCard>[0], {
    publicUrl,
    grpcPublicTarget: 'localhost:1',
    auth,
    protocol: { legacy: true, streaming: true, pushNotifications: true, requiredExtensions: [] },
  });
  options.changeCard?.(card);
  const { log = createLogger('test', 'silent') } = options;
  const byteRates = options.bytesPerSecond === undefined ? undefined : new ByteRates(options.bytesPerSecond);
  const parts = {
    handler: guardOperations({ getAgentCard: async () => card, ...operations } as A2ARequestHandler, audit),
    audit,
    card,
    cardSigner: await createCardSigner([], 'http://localhost'),
    admitCaller: createAdmission({
      authenticate: createAuthenticate(auth),
      failures: new AuthFailures({ perMinute: 0, log }),
      buckets: undefined,
      byteRates,
      log,
    }),
    byteRates,
    receiving: new Receiving(options.receiving),
    largeWork: options.largeWork ?? new LargeWork(),
    connections: options.connections ?? { all: 1_000_000, perAddress: 0 },
    // Conditional reads, callbacks and mostly routes of extensions need a database and are tested elsewhere.
    conditional: {} as ConditionalParts,
    webhooks: options.webhooks ?? ({} as WebhookRoutesParts),
    tasks: options.tasks ?? ({} as TasksRoutesParts),
    ops: options.ops ?? ({} as OpsRoutesParts),
    callbacks: {} as CallbackRoutesParts,
    schedules: options.schedules ?? ({} as ScheduleRoutesParts),
    geminiWebhooks: {
      settings: {
        jwksUrl: 'http://localhost',
        issuer: undefined,
        audience: undefined,
        secrets: options.geminiSecrets ?? [],
      },
    },
    mcp: options.mcp && ({ auth, getFullCard: () => card } as McpRoutesParts),
    trustedProxies: 0,
    corsOrigins: options.corsOrigins ?? [],
    localHosts: options.localHosts,
    readConsole: options.readConsole,
    traceUrl: options.traceUrl,
    publicUrl,
    drainMs: 1_000,
    ready: options.ready ?? (async () => undefined),
    bodyLimitBytes: options.bodyLimitBytes ?? bodyLimitBytes,
    log,
  };
  const routes: TestApiServer['routes'] = [];
  const onRoute = ({ method, url, config }: RouteOptions): void => {
    for (const each of [method].flat()) routes.push({ method: each, url, audit: config?.audit });
  };
  const app = await createApiServer({ ...parts, onRoute });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const grpc = await listenGrpc({ ...parts, ...(timeouts && { timeouts }), host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  const grpcTarget = `127.0.0.1:${grpc.port}`;
  const bindings = [createRawJsonRpc(url), createRawRest(url), createRawGrpc(grpcTarget)];
  let closing: Promise<void> | undefined;
  const closeGrpc = (): Promise<void> => (closing ??= grpc.close());
  t.after(async () => {
    for (const binding of bindings) binding.close();
    await Promise.all([app.close(), closeGrpc()]);
  });
  return { url, grpcTarget, bindings, routes, closeGrpc };
}

export function createWireTask(id: string): Task {
  return {
    id,
    contextId: 'c',
    status: { state: TaskState.TASK_STATE_WORKING, message: undefined, timestamp: undefined },
    artifacts: [],
    history: [],
    metadata: undefined,
  };
}

/** A GetTask that fails for the ids `none`, `away`, `broken` and `bug`, and otherwise returns a task. */
export async function getTask({ id }: { id: string }): Promise<Task> {
  if (id === 'none') throw new TaskNotFoundError('there is none');
  if (id === 'away') throw new UnavailableError();
  if (id === 'broken') throw new InternalError();
  if (id === 'bug') throw new TypeError('an internal detail');
  return createWireTask(id);
}

/** A GetTask that activates every requested extension. */
export async function activateAll({ id }: { id: string }, context: ServerCallContext): Promise<Task> {
  for (const uri of context.requestedExtensions ?? []) context.addActivatedExtension(uri);
  return createWireTask(id);
}
