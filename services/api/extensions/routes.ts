/**
 * Routes of extensions. They are part of the HTTP+JSON binding and use the same authentication. Each route exists with
 * and without a tenant in the path and returns JSON. Errors have the form of A2A 1.0.
 */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '#shared/db/tasks/read.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { createHttpCallContext } from '../bindings/call-context.ts';
import { jsonStatusFailure } from '../bindings/rest/dialect.ts';
import { restPath } from '../bindings/rest/rest.ts';
import { warnClient } from '../handler/call-state.ts';
import { getCaller } from '../handler/caller.ts';
import type { Params } from '../handler/operations.ts';
import { readBody } from '../http/body.ts';
import { sendFailure } from '../http/failure.ts';
import { Query } from '../http/query.ts';
import { createWarner } from '../http/warnings.ts';

export interface ExtensionCall {
  caller: Caller;
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
  /** Returns the JSON of the answer, or the reply if it has sent one. */
  handle: (parts: Parts, call: ExtensionCall) => Promise<unknown>;
}

export function registerExtensionRoutes<Parts extends { log: Logger }>(
  app: FastifyInstance,
  parts: Parts,
  routes: readonly ExtensionRoute<Parts>[],
): void {
  for (const prefix of [restPath, `${restPath}/:tenant`]) {
    for (const { method, path, handle } of routes) {
      app.route({ method, url: prefix + path, handler: (request, reply) => run(handle, request, reply) });
    }
  }

  async function run(
    handle: ExtensionRoute<Parts>['handle'],
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
      const body = method === 'POST' || method === 'PUT' ? readBody(request) : {};
      const result = await handle(parts, {
        caller: getCaller(context),
        context,
        path,
        query,
        accept,
        body,
        reply,
      });
      if (result === reply) return reply;
      query.warn(context);
      return await reply.send(JSON.stringify(result));
    } catch (error) {
      return sendFailure(reply, parts.log, error, jsonStatusFailure);
    }
  }
}
