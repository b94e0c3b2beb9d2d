/**
 * The HTTP+JSON binding (A2A section 11 and the annotations of the protocol's own a2a.proto), for clients of 1.0 and of
 * 0.3 at the same paths: the version that a request names decides which dialect is spoken. Every route exists with and
 * without a tenant before it.
 */
import { A2A_CONTENT_TYPE, A2A_VERSION_HEADER, type AgentCard } from '@a2a-js/sdk';
import { ContentTypeNotSupportedError, RequestMalformedError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler, ServerCallContext } from '@a2a-js/sdk/server';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { createAdmit, echoExtensions, httpCallContext, supportsV03, getVersion } from '../call-context.ts';
import { getCaller, getEntityTag, getSignal, getStreamedEvent } from '../../handler/caller.ts';
import { checkDepth, maxBodyDepth } from '../../handler/validate/json-depth.ts';
import { checkCondition, type ConditionalParts } from '../../http/conditional.ts';
import { RetryLaterError, toClientError } from '../../handler/errors.ts';
import { createV03Dialect, v03ErrorBody } from './v03.ts';
import type { Params } from '../../handler/operations.ts';
import { Query } from '../../http/query.ts';
import { createDialect, toHttpStatus, statusBody, type RestDialect } from './dialect.ts';
import { routes, type Route } from './routes.ts';
import { sendStream } from '../../http/sse.ts';

/** Clients of 0.3 are given the address without its last part, which they add themselves. */
export const restPath = '/a2a/v1';
export const v03RestPath = '/a2a';

export interface RestParts {
  handler: A2ARequestHandler;
  card: AgentCard;
  conditional: ConditionalParts;
  log: Logger;
}

/** A task may be kept by the caller that read it, in the version that it asked for, and is asked for again each time. */
const ownCopy = { 'cache-control': 'private, no-cache', vary: A2A_VERSION_HEADER };

type PathParams = Readonly<Record<string, string>>;

export function registerRest(app: FastifyInstance, parts: RestParts): void {
  const { handler, card, log } = parts;
  const current = createDialect(handler);
  const legacy = createV03Dialect(handler);
  const admit = createAdmit(card, 'HTTP+JSON');

  async function answer(
    route: Route,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply | string> {
    // The version decides in which dialect anything is refused.
    const dialect = dialectOf(request);
    if (route.version !== undefined && route.version !== dialect.version) {
      return notServed(dialect, request, reply);
    }
    try {
      const query = new Query(request.query);
      const own = route.method === 'POST' ? readBody(request) : route.query(query);
      const params = bind({ tenant: query.string('tenant'), ...own }, request.params as PathParams);
      const { tenant = '' } = params;
      if (typeof tenant !== 'string') throw new RequestMalformedError('tenant must be a string');
      const context = httpCallContext(request, reply, tenant);
      admit(context);
      if ('streaming' in route) {
        const stream = dialect.streaming[route.streaming];
        return await sendStream(reply, stream(params, context), {
          id: () => getStreamedEvent(context),
          event: (payload) => payload,
          error: (error) => errorOf(dialect, error).body,
          begin: () => echoExtensions(reply, context),
        });
      }
      const run = dialect.unary[route.unary];
      if (run === undefined) return notServed(dialect, request, reply);
      if (route.unary === 'GetTask' && (await isUnchanged(request, reply, params, context))) {
        return await reply.code(304).send();
      }
      const result = await run(params, context);
      const etag = getEntityTag(context);
      if (etag !== undefined) void reply.headers({ etag, ...ownCopy });
      echoExtensions(reply, context);
      const status = dialect.statusOf(route.unary);
      return status === 204 ? await reply.code(204).send() : answerWith(reply.code(status), dialect, result);
    } catch (error) {
      return answerWithError(reply, dialect, error);
    }
  }

  /** Conditional reads (RFC 9110, section 13.1.2) and long polls (RFC 7240) of a task. */
  async function isUnchanged(
    { headers }: FastifyRequest,
    reply: FastifyReply,
    { id }: Params,
    context: ServerCallContext,
  ): Promise<boolean> {
    const condition = await checkCondition(parts.conditional, {
      caller: getCaller(context),
      user: context.user,
      taskId: typeof id === 'string' ? id : '',
      ifNoneMatch: headers['if-none-match'],
      prefer: headers['prefer'],
      signal: () => getSignal(context),
    });
    void reply.headers(condition.headers);
    if (condition.notModified) void reply.headers(ownCopy);
    return condition.notModified;
  }

  function dialectOf(request: FastifyRequest): RestDialect {
    return getVersion(request) === legacy.version && supportsV03(card) ? legacy : current;
  }

  function errorOf(dialect: RestDialect, error: unknown): { status: number; body: unknown } {
    const told = toClientError(log, error);
    const status = toHttpStatus(told);
    return { status, body: dialect.errorBody(told, status) };
  }

  function answerWithError(reply: FastifyReply, dialect: RestDialect, error: unknown): string {
    if (error instanceof RetryLaterError) void reply.header('retry-after', String(error.retryAfterSeconds));
    const { status, body } = errorOf(dialect, error);
    return answerWith(reply.code(status), dialect, body);
  }

  function notServed(dialect: RestDialect, request: FastifyRequest, reply: FastifyReply): string {
    const text = `A2A ${dialect.version} serves nothing at ${request.method} ${request.url}`;
    const hint = dialect === legacy ? `: send the header ${A2A_VERSION_HEADER}: 1.0 for A2A 1.0` : '';
    return answerWith(reply.code(404), dialect, dialect.errorBody(new Error(text + hint), 404));
  }

  void app.register(
    (scope, _options, done) => {
      for (const prefix of ['', '/:tenant']) {
        for (const route of routes) {
          scope.route({
            method: route.method,
            url: `${prefix}${route.path}`,
            handler: (request, reply) => answer(route, request, reply),
          });
        }
      }
      scope.setNotFoundHandler((request, reply) => notServed(dialectOf(request), request, reply));
      done();
    },
    { prefix: restPath },
  );
}

/** The answer to what goes wrong before a route is reached: a body that is too large, or that breaks off. */
export function restFailure(
  card: AgentCard,
  request: FastifyRequest,
  status: number,
  message: string,
): { contentType: string; body: unknown } {
  return getVersion(request) === '0.3' && supportsV03(card)
    ? { contentType: 'application/json', body: v03ErrorBody(new Error(message), status) }
    : { contentType: A2A_CONTENT_TYPE, body: statusBody(new Error(message), status) };
}

/** The text of an answer, which Fastify sends. */
function answerWith(reply: FastifyReply, dialect: RestDialect, body: unknown): string {
  void reply.header('content-type', dialect.contentType);
  return JSON.stringify(body);
}

/** @throws {RequestMalformedError} or {ContentTypeNotSupportedError} */
export function readBody(request: FastifyRequest): Params {
  const text = typeof request.body === 'string' ? request.body.trim() : '';
  if (text === '') return {};
  const { mediaType } = request;
  if (mediaType !== undefined && mediaType !== A2A_CONTENT_TYPE && mediaType !== 'application/json') {
    throw new ContentTypeNotSupportedError(
      `the body must be ${A2A_CONTENT_TYPE} or application/json, not ${mediaType}`,
    );
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new RequestMalformedError(`the body is not valid JSON: ${errorMessage(error)}`);
  }
  checkDepth('the body', body, maxBodyDepth);
  // Some clients write the empty request as null.
  if (body === null) return {};
  if (typeof body === 'object' && !Array.isArray(body)) return body as Params;
  throw new RequestMalformedError('the body must be a JSON object with the fields of the request');
}

/** What stands in the path counts; a body that says something else is a mistake. */
function bind(params: Params, path: PathParams): Params {
  for (const [name, value] of Object.entries(path)) {
    const other = params[name];
    if (other !== undefined && other !== '' && other !== value) {
      throw new RequestMalformedError(`${name} is ${value} in the address and something else in the body`);
    }
  }
  return { ...params, ...path };
}
