/**
 * The tools of operators (shared/mcp), for callers with the scope `operator`: others neither see nor can call them. Each
 * calls routes of extensions, which check the rights of the caller and write the audit log.
 */
import { A2AError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { CallToolResult, Tool } from '@modelcontextprotocol/server';
import { hasDocs } from '#shared/mcp/docs/pages.ts';
import { RouteError } from '#shared/mcp/errors.ts';
import { docsTools, systemTools } from '#shared/mcp/list.ts';
import type { OpsTool, RouteCall } from '#shared/mcp/tool.ts';
import type { AuditLog } from '#shared/runtime/audit.ts';
import type { CallOpenRoute } from '../../extensions/call-route.ts';
import { clientAddress } from '../../handler/call-state.ts';
import { getAuthenticated } from '../../handler/caller.ts';
import { HttpRequestError } from '../../handler/errors.ts';
import { auditRequest } from '../../http/audit.ts';
import { toHttpStatus } from '../../http/failure.ts';
import { withToolErrors } from '../errors.ts';
import { mcpPath } from '../protocol.ts';

export const operatorToolNames = [...systemTools, ...docsTools].map(({ definition }) => definition.name);

export class OperatorTools {
  readonly #callRoute: CallOpenRoute;
  readonly #audit: AuditLog;
  readonly #tools: ReadonlyMap<string, OpsTool>;

  constructor({ callRoute, audit }: { callRoute: CallOpenRoute; audit: AuditLog }) {
    this.#callRoute = callRoute;
    this.#audit = audit;
    const tools = hasDocs() ? [...systemTools, ...docsTools] : systemTools;
    this.#tools = new Map(tools.map((tool) => [tool.definition.name, tool]));
  }

  list(context: ServerCallContext): Tool[] {
    if (!isOperator(context)) return [];
    return [...this.#tools.values()].map(({ definition }) => definition);
  }

  /** Returns undefined for callers without the scope too. That such a one tried is audited, as over HTTP. */
  find(name: string, context: ServerCallContext): OpsTool | undefined {
    const tool = this.#tools.get(name);
    if (tool === undefined || isOperator(context)) return tool;
    auditRequest(this.#audit, {
      method: 'POST',
      path: mcpPath,
      status: 403,
      isReadAudited: false,
      owner: undefined,
      caller: getAuthenticated(context),
      address: clientAddress.get(context)?.(),
      details: { tool: name },
    });
    return undefined;
  }

  call({ definition, run }: OpsTool, args: unknown, context: ServerCallContext): Promise<CallToolResult> {
    const callRoute = async (call: RouteCall): Promise<unknown> => {
      try {
        return await this.#callRoute(call, context, definition.name);
      } catch (error) {
        if (!(error instanceof A2AError || error instanceof HttpRequestError)) throw error;
        throw new RouteError(toHttpStatus(error), error.message);
      }
    };
    return withToolErrors(async () => {
      const { text, data } = await run(args, callRoute);
      return { content: [{ type: 'text', text }], structuredContent: data };
    });
  }
}

function isOperator(context: ServerCallContext): boolean {
  return getAuthenticated(context).scopes.has('operator');
}
