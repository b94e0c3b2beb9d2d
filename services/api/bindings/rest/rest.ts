/**
 * The HTTP+JSON binding (A2A section 11 and the HTTP annotations of a2a.proto). Clients of 1.0 and 0.3 use
 * the same paths; the version that a request names selects the dialect. Each route exists with and without a
 * tenant prefix.
 */
import { A2A_VERSION_HEADER, type AgentCard } from '@a2a-js/sdk';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler, ServerCallContext } from '@a2a-js/sdk/server';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isUuid } from '#shared/domain/ids.ts';
import { stateClass } from '#shared/domain/task.ts';
import type { Logger } from '#shared/runtime/log.ts';
import {
  createProtocolCheck,
  echoExtensions,
  getVersion,
  createHttpCallContext,
  supportsV03,
} from '../call-context.ts';
import { entityTag, getController, nextStep, streamedEvent, warnClient } from '../../handler/call-state.ts';
import { getAuthenticated, getCaller, requireCallScope } from '../../handler/caller.ts';
import { HttpRequestError, toClientError } from '../../handler/errors.ts';
import type { Params } from '../../handler/operations.ts';
import { readBody } from '../../http/body.ts';
import { checkCondition, type ConditionalParts } from '../../http/conditional.ts';
import { addVary } from '../../http/headers.ts';
import { sendFailure, toHttpStatus, type FailureFormat } from '../../http/failure.ts';
import { Query } from '../../http/query.ts';
import { sendStream } from '../../http/sse.ts';
import { createWarner } from '../../http/warnings.ts';
import { getReplay } from '../../extensions/replay.ts';
import { createDialect, negotiateType, statusFailure, type RestDialect } from './dialect.ts';
import { listRoutes, restRoutes, sendsMessage, type RestRoute } from './routes.ts';
import { createV03Dialect, v03Failure } from './v03.ts';

export const restPath = '/a2a/v1';
/** The address for clients of 0.3: they append the `/v1` themselves. */
export const v03RestPath = '/a2a';

export interface RestParts {
  handler: A2ARequestHandler;
  /** Limit of requests that send a message. */
  bodyLimitBytes: number;
  card: AgentCard;
  conditional: ConditionalParts;
  /** Routes of extensions below the path of this binding, as `GET /path`. */
  listExtensionRoutes: () => readonly string[];
  log: Logger;
}

type PathParams = Readonly<Record<string, string>>;

/** A client may cache its own tasks, per version and media type, and revalidates them before each use. */
function allowPrivateCopy(reply: FastifyReply): void {
  void reply.header('cache-control', 'private, no-cache');
  addVary(reply, A2A_VERSION_HEADER, 'Accept');
}

export function registerRest(
  app: FastifyInstance,
  { handler, bodyLimitBytes, card, conditional, listExtensionRoutes, log }: RestParts,
): void {
  const current = createDialect(handler);
  const v03 = createV03Dialect(handler);
  const checkProtocol = createProtocolCheck(card, 'HTTP+JSON');

  async function run(
    route: RestRoute,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply | string> {
    // Selected first: it decides the form of every error.
    const dialect = selectDialect(request);
    if (route.version !== undefined && route.version !== dialect.version) {
      return sendNotFound(dialect, request, reply);
    }
    try {
      const query = new Query(request.query);
      const fields = route.method === 'POST' ? readBody(request) : route.query(query);
      const named = { ...fields, tenant: fields['tenant'] ?? query.string('tenant') };
      const params = bind(named, request.params as PathParams);
      const tenant = params['tenant'] ?? '';
      if (typeof tenant !== 'string') throw new RequestMalformedError('tenant must be a string');
      const context = createHttpCallContext(request, reply, tenant);
      warnClient.set(context, createWarner(reply, log));
      query.warn(context);
      checkProtocol(context);
      if ('streaming' in route) {
        if (route.method === 'GET' && (await hasSeenAll(params, context)))
          return await reply.code(204).send();
        const stream = dialect.streaming[route.streaming];
        return await sendStream(reply, stream(params, context), {
          id: () => streamedEvent.get(context),
          event: (payload) => payload,
          error: (error) => {
            const failure = toClientError(log, error);
            return dialect.toBody(failure, toHttpStatus(failure));
          },
          onStart: () => echoExtensions(reply, context),
        });
      }
      const operation = dialect.unary[route.unary];
      if (operation === undefined) return sendNotFound(dialect, request, reply);
      if (route.unary === 'GetTask' && (await isUnchanged(request, reply, params, context))) {
        return await reply.code(304).send();
      }
      const result = await operation(params, context);
      const pause = nextStep.get(context);
      if (pause !== undefined) await pause();
      const etag = entityTag.get(context);
      if (etag !== undefined) {
        void reply.header('etag', etag);
        allowPrivateCopy(reply);
      }
      echoExtensions(reply, context);
      const status = dialect.getSuccessStatus(route.unary);
      if (status === 204) return await reply.code(204).send();
      void reply.code(status).header('content-type', dialect.contentType);
      // google.protobuf.Empty is {} in ProtoJSON, and clients parse it.
      return JSON.stringify(result ?? {});
    } catch (error) {
      return sendFailure(reply, log, error, dialect);
    }
  }

  /**
   * Whether a client subscribes again after it has seen the last event of a task that has ended. An EventSource does so
   * for ever, unless the status is 204 (WHATWG HTML, section 9.2.3).
   */
  async function hasSeenAll({ id }: Params, context: ServerCallContext): Promise<boolean> {
    requireCallScope(context, 'read', 'SubscribeToTask');
    const after = getReplay(context)?.after;
    if (after === undefined || typeof id !== 'string' || !isUuid(id)) return false;
    const version = await conditional.readVersion(getCaller(context), id);
    return version?.stateClass === stateClass.terminal && version.lastEvent === after;
  }

  /** Conditional reads (RFC 9110, section 13.1.2) and long polls (RFC 7240) of a task. */
  async function isUnchanged(
    { headers }: FastifyRequest,
    reply: FastifyReply,
    { id }: Params,
    context: ServerCallContext,
  ): Promise<boolean> {
    requireCallScope(context, 'read', 'GetTask');
    const condition = await checkCondition(conditional, {
      caller: getCaller(context),
      user: getAuthenticated(context),
      taskId: typeof id === 'string' ? id : '',
      ifNoneMatch: headers['if-none-match'],
      prefer: headers['prefer'],
      controller: () => getController(context),
    });
    void reply.headers(condition.headers);
    if (condition.notModified) allowPrivateCopy(reply);
    return condition.notModified;
  }

  function selectDialect(request: FastifyRequest): RestDialect {
    if (isV03Request(request, card)) return v03;
    return { ...current, contentType: negotiateType(request) };
  }

  function sendNotFound(dialect: RestDialect, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { version } = dialect;
    const text = `A2A ${version} does not define ${request.method} ${request.url}`;
    const hint = version === '0.3' ? `, or send the header ${A2A_VERSION_HEADER}: 1.0 for A2A 1.0` : '';
    const routes = listRoutes(restPath, version).join(', ');
    const others = `. Routes of extensions: ${listExtensionRoutes().join(', ')}`;
    const failure = new HttpRequestError(404, `${text}: use ${routes}${hint}${others}`);
    return sendFailure(reply, log, failure, dialect);
  }

  void app.register(
    (scope, _options, done) => {
      for (const prefix of ['', '/:tenant']) {
        for (const route of restRoutes) {
          scope.route({
            method: route.method,
            url: `${prefix}${route.path}`,
            config: { audit: 'operation' },
            ...(sendsMessage(route) && { bodyLimit: bodyLimitBytes }),
            handler: (request, reply) => run(route, request, reply),
          });
        }
      }
      scope.setNotFoundHandler((request, reply) => sendNotFound(selectDialect(request), request, reply));
      done();
    },
    { prefix: restPath },
  );
}

/** The form of errors that occur before a route runs, such as a body that is too large or incomplete. */
export function getRestFailureFormat(request: FastifyRequest, card: AgentCard): FailureFormat {
  if (isV03Request(request, card)) return v03Failure;
  return { ...statusFailure, contentType: negotiateType(request) };
}

function isV03Request(request: FastifyRequest, card: AgentCard): boolean {
  return getVersion(request) === '0.3' && supportsV03(card);
}

/** Adds the parameters of the path. @throws {RequestMalformedError} if the request contradicts them */
function bind(params: Params, path: PathParams): Params {
  for (const [name, value] of Object.entries(path)) {
    const other = params[name];
    if (other !== undefined && other !== null && other !== '' && other !== value) {
      throw new RequestMalformedError(
        `${name} is ${value} in the path but differs in the query or the body: send it in the path only`,
      );
    }
  }
  return { ...params, ...path };
}
