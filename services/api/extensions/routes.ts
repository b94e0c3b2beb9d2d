/**
 * Routes of extensions. They are part of the HTTP+JSON binding and use the same authentication. Each route exists with
 * and without a tenant in the path and returns JSON. Errors have the form of A2A 1.0. Unknown parameters of the query are
 * refused: a misspelt condition must not select everything.
 */
import { A2A_VERSION_HEADER } from '@a2a-js/sdk';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { forOwner } from '#shared/db/client/owner-connections.ts';
import type { Db } from '#shared/db/client/pool.ts';
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
import { addAuditDetails, type AuditDetails } from '../http/audit.ts';
import { readBody } from '../http/body.ts';
import type { ObjectSchema, Schema } from '../http/openapi/schema.ts';
import { sendFailure } from '../http/failure.ts';
import { scopesHeader } from '../http/headers.ts';
import { Query } from '../http/query.ts';
import { createWarner } from '../http/warnings.ts';
import { checkKnown } from './body.ts';

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
  /** Adds ids and counts to the entry of the audit log: those that the path does not have. */
  addAuditDetails: (details: AuditDetails) => void;
  /** Returns the response, for routes that stream. */
  getReply: () => FastifyReply;
}

export interface ExtensionRoute<Parts> {
  method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** `::` is an escaped colon. */
  path: string;
  /** Its name in the OpenAPI document. */
  operationId: string;
  summary: string;
  /** Its parameters in the query. Each route also has `tenant` if the path has none, and `owner` unless it is for operators. */
  query?: Readonly<Record<string, Schema>>;
  /** Those of them that must be sent: for the OpenAPI document. */
  requiredQuery?: readonly string[];
  /** The fields of the body. All others are refused. */
  body?: ObjectSchema;
  /** The JSON of the answer. */
  result?: Schema;
  /** The JSON of each server-sent event, for clients that accept those. */
  events?: Schema;
  /** The scope that the route needs. Default: `read` for GET, otherwise `send`. */
  scope?: Scope;
  /** Returns the JSON of the answer, never undefined, or the reply if it has sent one. */
  handle: (parts: Parts, call: ExtensionCall) => Promise<unknown>;
}

/** A call of a route before its caller is known to have the right to make it. */
export type RouteRequest = Pick<
  ExtensionCall,
  'context' | 'path' | 'query' | 'accept' | 'getReply' | 'addAuditDetails'
> & {
  readBody: () => Params;
  /** The path names a tenant, so the query must not. */
  hasTenant: boolean;
};

/** A route with its parts, for callers in this process (call-route.ts). */
export interface OpenRoute {
  method: ExtensionRoute<never>['method'];
  path: string;
  /** Reads of it are audited. */
  isReadAudited: boolean;
  run: (request: RouteRequest) => Promise<unknown>;
}

/** Registers the routes, with and without a tenant in the path, and returns them. */
export function registerExtensionRoutes<Parts extends { db: Db; log: Logger }>(
  app: FastifyInstance,
  parts: Parts,
  routes: readonly ExtensionRoute<Parts>[],
): OpenRoute[] {
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
        handler: (request, reply) => answer(route, request, reply),
      });
    }
  }
  return routes.map((route) => ({
    method: route.method,
    path: route.path,
    isReadAudited: route.scope === 'operator',
    run: (request) => runRoute(route, parts, request),
  }));

  async function answer(
    route: ExtensionRoute<Parts>,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    void reply.header('content-type', 'application/json');
    try {
      const { method } = request;
      const { accept = '' } = request.headers;
      const { tenant, ...path } = request.params as Record<string, string>;
      const query = new Query(request.query);
      const context = createHttpCallContext(request, reply, tenant ?? query.string('tenant'));
      warnClient.set(context, createWarner(reply, parts.log));
      // On refusals too: they are how a caller without a scope learns about it.
      void reply.header(scopesHeader, [...getAuthenticated(context).scopes].join(', '));
      const result = await runRoute(route, parts, {
        context,
        path,
        query,
        accept,
        getReply: () => reply,
        addAuditDetails: (details) => addAuditDetails(request, details),
        readBody: () => (method === 'POST' || method === 'PUT' ? readBody(request) : {}),
        hasTenant: tenant !== undefined,
      });
      // Awaiting a reply waits until it has been sent or its client has left, and returns undefined.
      if (result === undefined) return reply;
      return await reply.send(JSON.stringify(result));
    } catch (error) {
      return sendFailure(reply, parts.log, error, jsonStatusFailure);
    }
  }
}

/** Checks the rights of the caller and the names of the parameters, and runs the route. */
async function runRoute<Parts extends { db: Db }>(
  route: ExtensionRoute<Parts>,
  parts: Parts,
  { readBody, hasTenant, ...request }: RouteRequest,
): Promise<unknown> {
  const { method, scope = method === 'GET' ? 'read' : 'send' } = route;
  const { context, query } = request;
  const name = `${method} ${toReadablePath(route.path)}`;
  const user = getAuthenticated(context);
  requireScope(user, scope, name);
  query.checkKnown(listParameters(route, hasTenant), name);
  const body = readBody();
  checkKnown(body, route.body);
  const own = getCaller(context);
  const caller = selectCaller(own, user, query);
  const db = forOwner(parts.db, own.owner);
  return route.handle({ ...parts, db }, { ...request, caller, user, body });
}

function listParameters(route: Pick<ExtensionRoute<never>, 'query' | 'scope'>, hasTenant: boolean): string[] {
  const common = [...(hasTenant ? [] : ['tenant']), ...(route.scope === 'operator' ? [] : ['owner'])];
  // Clients may name the version of A2A in the query (section 3.6.1).
  return [...Object.keys(route.query ?? {}), ...common, A2A_VERSION_HEADER];
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
