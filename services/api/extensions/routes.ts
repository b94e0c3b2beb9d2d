/**
 * Routes of extensions. They are part of the HTTP+JSON binding and use the same authentication. Each route exists with
 * and without a tenant in the path and returns JSON. Errors have the form of A2A 1.0. Unknown parameters of the query are
 * refused: a misspelt condition must not select everything.
 */
import { A2A_VERSION_HEADER } from '@a2a-js/sdk';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '#shared/db/tasks/read.ts';
import type { Scope } from '#shared/domain/scopes.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { requireScope, type AuthenticatedCaller } from '../auth/caller.ts';
import { createHttpCallContext } from '../bindings/call-context.ts';
import { jsonStatusFailure } from '../bindings/rest/dialect.ts';
import { restPath } from '../bindings/rest/rest.ts';
import { toReadablePath } from '../bindings/rest/routes.ts';
import { checkId } from '../handler/validate/message.ts';
import { warnClient } from '../handler/call-state.ts';
import { getAuthenticated, getCaller } from '../handler/caller.ts';
import type { Params } from '../handler/operations.ts';
import { readBody } from '../http/body.ts';
import { sendFailure } from '../http/failure.ts';
import { scopesHeader } from '../http/headers.ts';
import { Query } from '../http/query.ts';
import { createWarner } from '../http/warnings.ts';

export interface ExtensionCall {
  /** The owner and tenant that the call is about. */
  caller: Caller;
  /** The caller with the scopes of its credential. */
  user: AuthenticatedCaller;
  context: ServerCallContext;
  /** Parameters of the path. */
  path: Readonly<Record<string, string | undefined>>;
  query: Query;
  /** The header, or an empty text. */
  accept: string;
  /** Empty for GET and DELETE. */
  body: Params;
  reply: FastifyReply;
}

export interface ExtensionRoute<Parts> {
  method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** `::` is an escaped colon. */
  path: string;
  /** Its parameters in the query. Each route also has `tenant` if the path has none, and `owner` unless it is for operators. */
  query?: readonly string[];
  /** The scope that the route needs. Default: `read` for GET, otherwise `send`. */
  scope?: Scope;
  /** Returns the JSON of the answer, never undefined, or the reply if it has sent one. */
  handle: (parts: Parts, call: ExtensionCall) => Promise<unknown>;
}

export function registerExtensionRoutes<Parts extends { log: Logger }>(
  app: FastifyInstance,
  parts: Parts,
  routes: readonly ExtensionRoute<Parts>[],
): void {
  for (const prefix of [restPath, `${restPath}/:tenant`]) {
    for (const route of routes) {
      const url = prefix + route.path;
      // Reads of what belongs to others are audited too.
      const audit = route.scope === 'operator' ? { audit: 'read' as const } : {};
      const config = { failure: jsonStatusFailure, ...audit };
      app.route({
        method: route.method,
        url,
        config,
        handler: (request, reply) => run(route, request, reply),
      });
    }
  }

  async function run(
    route: ExtensionRoute<Parts>,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    void reply.header('content-type', 'application/json');
    const { scope } = route;
    try {
      const { method } = request;
      const { accept = '' } = request.headers;
      const { tenant, ...path } = request.params as Record<string, string>;
      const name = `${method} ${toReadablePath(route.path)}`;
      const query = new Query(request.query);
      const context = createHttpCallContext(request, reply, tenant ?? query.string('tenant'));
      warnClient.set(context, createWarner(reply, parts.log));
      const user = getAuthenticated(context);
      // On refusals too: they are how a caller without a scope learns about it.
      void reply.header(scopesHeader, [...user.scopes].join(', '));
      requireScope(user, scope ?? (method === 'GET' ? 'read' : 'send'), name);
      query.checkKnown(listParameters(route, tenant !== undefined), name);
      const body = method === 'POST' || method === 'PUT' ? readBody(request) : {};
      const caller = selectCaller(getCaller(context), user, query);
      const result = await route.handle(parts, { caller, user, context, path, query, accept, body, reply });
      // Awaiting a reply waits until it has been sent or its client has left, and returns undefined.
      if (result === undefined) return reply;
      return await reply.send(JSON.stringify(result));
    } catch (error) {
      return sendFailure(reply, parts.log, error, jsonStatusFailure);
    }
  }
}

function listParameters(route: Pick<ExtensionRoute<never>, 'query' | 'scope'>, hasTenant: boolean): string[] {
  const common = [...(hasTenant ? [] : ['tenant']), ...(route.scope === 'operator' ? [] : ['owner'])];
  // Clients may name the version of A2A in the query (section 3.6.1).
  return [...(route.query ?? []), ...common, A2A_VERSION_HEADER];
}

/**
 * Returns the owner whose tasks the call is about: an operator may name another one.
 *
 * @throws {ForbiddenError} if the caller is not an operator
 */
function selectCaller(own: Caller, user: AuthenticatedCaller, query: Query): Caller {
  const owner = query.string('owner');
  if (owner === undefined) return own;
  requireScope(user, 'operator', 'owner');
  checkId('owner', owner, true);
  return { ...own, owner };
}
