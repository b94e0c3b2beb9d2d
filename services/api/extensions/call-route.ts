/**
 * Calls routes of extensions from within the process, for the tools of operators over MCP: with the rights, the checks and the
 * audit of a request over HTTP.
 */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { RouteCall } from '#shared/mcp/tool.ts';
import type { AuditLog } from '#shared/runtime/audit.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { createCallContext } from '../bindings/call-context.ts';
import { clientAddress, getController, traceparent } from '../handler/call-state.ts';
import { getAuthenticated } from '../handler/caller.ts';
import { toClientError } from '../handler/errors.ts';
import { auditRequest, type AuditDetails } from '../http/audit.ts';
import { toHttpStatus } from '../http/failure.ts';
import { Query } from '../http/query.ts';
import type { OpenRoute } from './routes.ts';

/**
 * @param tool the tool that calls, for the audit log
 * @throws {Error} for clients, if the call is refused or fails
 */
export type CallOpenRoute = (call: RouteCall, context: ServerCallContext, tool: string) => Promise<unknown>;

export function createRouteCaller(
  routes: readonly OpenRoute[],
  { audit, log }: { audit: AuditLog; log: Logger },
): CallOpenRoute {
  const known = new Map(routes.map((route) => [`${route.method} ${route.path}`, route]));
  return async ({ method, route: path, path: target = {}, query = {}, body = {} }, context, tool) => {
    const route = known.get(`${method} ${path}`);
    if (route === undefined) throw new Error(`route ${method} ${path} does not exist`);
    const values = Object.entries(query).filter(([, value]) => value !== undefined);
    const given = Object.fromEntries(values.map(([name, value]) => [name, String(value)]));
    const { owner, tenant } = given;
    const caller = getAuthenticated(context);
    const entry = {
      method,
      path,
      owner,
      tenant,
      target,
      caller,
      isReadAudited: route.isReadAudited,
      address: clientAddress.get(context)?.(),
    };
    let details: AuditDetails = { tool };
    try {
      const result = await route.run({
        context: createOwnContext(context, tenant),
        path: target,
        query: new Query(given),
        accept: '',
        readBody: () => body,
        addAuditDetails: (more) => {
          details = { ...details, ...more };
        },
        hasTenant: false,
        getReply: () => {
          throw new Error(`${method} ${path} needs a response of its own`);
        },
      });
      auditRequest(audit, { ...entry, status: 200, details });
      // Times are texts, as over HTTP.
      return JSON.parse(JSON.stringify(result ?? null)) as unknown;
    } catch (error) {
      const failure = toClientError(log, error);
      auditRequest(audit, { ...entry, status: toHttpStatus(failure), details });
      throw failure;
    }
  };
}

/** The call of a tool has no tenant: the one that its arguments name is that of the request. */
function createOwnContext(context: ServerCallContext, tenant: string | undefined): ServerCallContext {
  return createCallContext({
    version: '1.0',
    extensions: [],
    tenant,
    user: getAuthenticated(context),
    address: clientAddress.get(context),
    traceparent: traceparent.get(context),
    controller: () => getController(context),
  });
}
