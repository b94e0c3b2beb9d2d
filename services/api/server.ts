/** The HTTP server of the api service: all routes, and the errors of requests that reach none of them. */
import { AGENT_CARD_PATH, A2A_CONTENT_TYPE, type AgentCard } from '@a2a-js/sdk';
import type { A2ARequestHandler } from '@a2a-js/sdk/server';
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';
import { registerHealth, type ReadyCheck } from '#shared/runtime/health.ts';
import { callbacksPath } from '#shared/domain/wait.ts';
import type { AuditLog } from '#shared/runtime/audit.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { closeAfterRequests, createServer } from '#shared/runtime/server.ts';
import { endReceipt, registerAdmission, type Admit } from './limits/admission.ts';
import { limitConnections, type ConnectionLimits } from './limits/connections.ts';
import type { ByteRates } from '#shared/runtime/byte-rates.ts';
import type { LargeWork } from '#shared/runtime/large-work.ts';
import type { Receiving } from './limits/receiving.ts';
import { closeSlowReaders } from './limits/slow-readers.ts';
import { UnauthenticatedError } from './auth/errors.ts';
import { rpcFailure } from './bindings/jsonrpc/envelope.ts';
import { registerAgentNotifications } from './callbacks/agent-notifications.ts';
import { registerGeminiWebhooks, type GeminiWebhookParts } from './callbacks/gemini-webhooks.ts';
import { registerCallbackRoutes, type CallbackRoutesParts } from './callbacks/routes.ts';
import { jsonRpcPath, registerJsonRpc } from './bindings/jsonrpc/jsonrpc.ts';
import { getRestFailureFormat, registerRest, restPath } from './bindings/rest/rest.ts';
import { getVersion, supportsV03 } from './bindings/call-context.ts';
import { listRoutes, toReadablePath } from './bindings/rest/routes.ts';
import { registerCard } from './card/routes.ts';
import type { CardSigner } from './card/signature.ts';
import type { ReadConsole } from './console/files.ts';
import { consolePath } from './console/path.ts';
import { registerConsole } from './console/routes.ts';
import { createRouteCaller } from './extensions/call-route.ts';
import { registerScheduleRoutes, type ScheduleRoutesParts } from './extensions/schedules/routes.ts';
import { registerOpsRoutes, type OpsRoutesParts } from './extensions/ops/routes.ts';
import { registerWebhookRoutes, type WebhookRoutesParts } from './extensions/webhooks/routes.ts';
import { registerTasksRoutes, type TasksRoutesParts } from './extensions/tasks/routes.ts';
import { registerFileRoutes } from './files/routes.ts';
import { registerMcp, type McpRoutesParts } from './mcp/routes.ts';
import { HttpRequestError, InternalError, RetryLaterError } from './handler/errors.ts';
import { maxSmallBodyBytes } from './http/body.ts';
import type { ConditionalParts } from './http/conditional.ts';
import { plainFailure, sendFailure, type FailureFormat } from './http/failure.ts';
import { registerAudit } from './http/audit.ts';
import { refuseForeignPages } from './http/foreign-pages.ts';
import { createDefaultHeaders, registerHeaders } from './http/headers.ts';
import { registerOpenApi } from './http/openapi/routes.ts';
import { refuseOwnWebhooks } from './http/own-webhooks.ts';
import { boundUnreadBodies, discardBody } from './http/unread-body.ts';

export interface ApiServerParts {
  handler: A2ARequestHandler;
  card: AgentCard;
  /** Returns the current card: its capabilities do not change. Default: `card`. */
  getCard?: () => AgentCard;
  /** Verifies the signature of the card; undefined: the card is not signed. */
  cardSigner: CardSigner;
  admitCaller: Admit;
  receiving: Receiving;
  /** Undefined: no limit. */
  byteRates?: ByteRates | undefined;
  largeWork: LargeWork;
  connections: ConnectionLimits;
  conditional: ConditionalParts;
  /** Number of proxies in front whose X-Forwarded-For is trusted, counted from the nearest. */
  trustedProxies: number;
  corsOrigins: readonly string[];
  /** The names of this server, if it has no authentication and only this machine reaches it. Undefined otherwise. */
  localHosts?: ReadonlySet<string> | undefined;
  publicUrl: string;
  drainMs: number;
  ready: ReadyCheck;
  /** Limit of requests that send a message. */
  bodyLimitBytes: number;
  webhooks: WebhookRoutesParts;
  tasks: TasksRoutesParts;
  schedules: ScheduleRoutesParts;
  ops: OpsRoutesParts;
  callbacks: CallbackRoutesParts;
  geminiWebhooks: Pick<GeminiWebhookParts, 'settings'>;
  /** Undefined: MCP is not served. */
  mcp?:
    | Omit<McpRoutesParts, 'audit' | 'bodyLimitBytes' | 'callRoute' | 'corsOrigins' | 'publicUrl' | 'log'>
    | undefined;
  /** Undefined: the console is not served. */
  readConsole?: ReadConsole | undefined;
  /** For the console: the address of a task's traces. */
  traceUrl?: string | undefined;
  audit: AuditLog;
  /** Called with each route. */
  onRoute?: (route: RouteOptions) => void;
  log: Logger;
}

export async function createApiServer(parts: ApiServerParts): Promise<FastifyInstance> {
  const { handler, bodyLimitBytes, card, conditional, webhooks, log } = parts;
  const isSecure = parts.publicUrl.startsWith('https:');
  const app = createServer({
    trustProxy: parts.trustedProxies > 0 && ((_address, hop) => hop < parts.trustedProxies),
    // Routes that accept messages raise it.
    bodyLimit: Math.min(maxSmallBodyBytes, bodyLimitBytes),
    // Clients that append a path to an address of the card may send an extra slash.
    routerOptions: { maxParamLength: maxSegmentChars, ignoreTrailingSlash: true },
    rewriteUrl: createPathRewrite(parts.publicUrl),
    // Paths that the router cannot read. No hook runs for them.
    frameworkErrors: (error, request, reply) => {
      void reply.headers(createDefaultHeaders(isSecure));
      const failure = new HttpRequestError(error.statusCode ?? 400, describePathError(error, request.url));
      void sendFailure(reply, log, failure, getBindingFormat(request, card));
    },
  });
  // A client that no longer reads its stream must not hold up the drain.
  closeAfterRequests(app, (parts.drainMs * 2) / 3);
  // Bodies reach the bindings as bytes, so that each reports errors in its own form. The types of valid
  // requests are listed because Fastify does not cache a match by `*`.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    ['application/json', A2A_CONTENT_TYPE, '*'],
    { parseAs: 'buffer' },
    (_request, body, done) => done(null, body),
  );

  limitConnections(app.server, parts.connections);
  closeSlowReaders(app);
  boundUnreadBodies(app);
  if (parts.localHosts !== undefined) {
    refuseForeignPages(app, { hosts: parts.localHosts, corsOrigins: parts.corsOrigins });
  }
  registerAudit(app, parts.audit);
  refuseOwnWebhooks(app);
  if (parts.onRoute !== undefined) app.addHook('onRoute', parts.onRoute);
  const getCard = parts.getCard ?? (() => card);
  const extensionRoutes = collectExtensionRoutes(app);
  registerAdmission(app, parts.admitCaller, parts.receiving, parts.byteRates, parts.largeWork);
  await registerHeaders(app, {
    secure: isSecure,
    corsOrigins: parts.corsOrigins,
  });
  registerOpenApi(app, { getCard, publicUrl: parts.publicUrl });
  registerHealth(app, parts.ready, log);
  const consoleUrl = `${new URL(parts.publicUrl).pathname.replace(/\/$/, '')}${consolePath}/`;
  await registerCard(app, getCard, parts.cardSigner, parts.readConsole && consoleUrl);
  registerJsonRpc(app, { handler, bodyLimitBytes, card, largeWork: parts.largeWork, log });
  const listExtensionRoutes = (): readonly string[] => extensionRoutes;
  registerRest(app, { handler, bodyLimitBytes, card, conditional, listExtensionRoutes, log });
  const openRoutes = [
    ...registerWebhookRoutes(app, webhooks),
    ...registerTasksRoutes(app, parts.tasks),
    ...registerOpsRoutes(app, parts.ops),
  ];
  registerScheduleRoutes(app, parts.schedules);
  registerFileRoutes(app, { db: webhooks.db, log });
  registerCallbackRoutes(app, parts.callbacks);
  registerAgentNotifications(app, parts.callbacks);
  registerGeminiWebhooks(app, {
    ...parts.callbacks,
    ...parts.geminiWebhooks,
    publicUrl: parts.publicUrl,
  });

  const { readConsole, publicUrl, traceUrl, mcp } = parts;
  if (mcp !== undefined)
    registerMcp(app, { ...parts, ...mcp, callRoute: createRouteCaller(openRoutes, parts) });
  if (readConsole !== undefined) registerConsole(app, { readFiles: readConsole, publicUrl, traceUrl, log });

  app.setErrorHandler(async (error, request, reply) => {
    const { statusCode = 500, code } = error as { statusCode?: number; code?: string };
    const format = getFailureFormat(request, card);
    if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
      endReceipt(request.raw);
      await discardBody(request.raw);
      const text = describeBodyLimit(request, bodyLimitBytes);
      return sendFailure(reply, log, new HttpRequestError(statusCode, text), format);
    }
    if (code === 'ERR_STREAM_PREMATURE_CLOSE') {
      log.debug('client closed its stream');
      return sendFailure(reply, log, new InternalError(), format);
    }
    const isOwn = error instanceof RetryLaterError || error instanceof UnauthenticatedError;
    const failure =
      isOwn || statusCode >= 500 ? error : new HttpRequestError(statusCode, errorMessage(error));
    return sendFailure(reply, log, failure, format);
  });
  app.setNotFoundHandler(async (request, reply) => {
    const version = getVersion(request) === '0.3' && supportsV03(card) ? '0.3' : '1.0';
    const routes = listRoutes(restPath, version).join(', ');
    const all = `GET /${AGENT_CARD_PATH}, POST ${jsonRpcPath}, ${routes}`;
    const text = `${request.method} ${request.url} was not found: use ${all}. Routes of extensions: ${extensionRoutes.join(', ')}`;
    return sendFailure(reply, log, new HttpRequestError(404, text), plainFailure);
  });
  return app;
}

/** The longest segment of a path, in characters. The longest ones are percent-encoded ids of clients. */
const maxSegmentChars = 1024;

/** Returns the routes of extensions, which are registered later, each once: without those that have a tenant. */
function collectExtensionRoutes(app: FastifyInstance): string[] {
  const found: string[] = [];
  app.addHook('onRoute', ({ method, url, config }) => {
    const isExtension = config?.failure !== undefined && url.startsWith(restPath);
    if (isExtension && method !== 'HEAD' && !url.startsWith(`${restPath}/:tenant/`)) {
      found.push(`${String(method)} ${toReadablePath(url)}`);
    }
  });
  return found;
}

function describePathError({ code }: { code: string }, url: string): string {
  const path = url.length > 200 ? `${url.slice(0, 200)}…` : url;
  if (code === 'FST_ERR_MAX_PARAM_LENGTH') {
    return `A segment of the path ${path} is too long: send at most ${maxSegmentChars} characters`;
  }
  return `The path ${path} is not valid: each % must start an escape of UTF-8, such as %20`;
}

function describeBodyLimit(
  { url, routeOptions: { bodyLimit } }: FastifyRequest,
  bodyLimitBytes: number,
): string {
  const text = `The body is larger than ${bodyLimit} bytes`;
  if (url.startsWith(`${callbacksPath}/`)) return `${text}, the most that this URL accepts`;
  if (bodyLimit < bodyLimitBytes) return `${text}: only messages may be larger`;
  return `${text}: send large content as a file by URL`;
}

/** A request that fails before its route runs is answered in the form of the route, or of the binding of its path. */
function getFailureFormat(request: FastifyRequest, card: AgentCard): FailureFormat {
  return request.routeOptions.config.failure ?? getBindingFormat(request, card);
}

function getBindingFormat(request: FastifyRequest, card: AgentCard): FailureFormat {
  if (request.url.startsWith(restPath)) return getRestFailureFormat(request, card);
  const isRoot = request.method === 'POST' && /^\/(\?|$)/.test(request.url);
  return isRoot || request.url.startsWith(jsonRpcPath) ? rpcFailure : plainFailure;
}

/**
 * Serves every route below the path of the public URL too: the card lists addresses below it, and a proxy in front may
 * pass the path on or strip it.
 */
function createPathRewrite(publicUrl: string): (request: { url?: string | undefined }) => string {
  const base = new URL(publicUrl).pathname.replace(/\/$/, '');
  return ({ url = '/' }) => (base !== '' && url.startsWith(`${base}/`) ? url.slice(base.length) : url);
}
