/**
 * MCP by its SDK: negotiation, the envelope and the headers of revision 2026-07-28, the handshake of earlier ones, and the
 * streams of answers. It is loaded with the first request. Each request has a server of its own; the tasks outlive it.
 *
 * The SDK (2.4) has the methods of the Tasks extension, but no runtime, and refuses a task as the result of a tool. Once it
 * serves the extension (typescript-sdk, pull request 2782), `AgentServer` and the three methods can go into its hooks.
 */
import type { AgentCard } from '@a2a-js/sdk';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import {
  createMcpHandler,
  Server,
  type ServerContext,
  type StandardSchemaV1,
} from '@modelcontextprotocol/server';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { toClientError } from '../handler/errors.ts';
import { hasStatus, toMcpError } from './errors.ts';
import { toServerInfo } from './info.ts';
import type { Era, Method, Params } from './methods.ts';
import { clientCapabilitiesKey, tasksExtension, type ClientCapabilities } from './protocol.ts';
import type { McpCall } from './tools/calls.ts';

export interface McpServingParts {
  getFullCard: () => AgentCard;
  methods: Record<Era, ReadonlyMap<string, Method>>;
  log: Logger;
}

export interface McpExchange {
  context: ServerCallContext;
  /** Set to an error that HTTP has a status for. */
  failure?: Error;
}

export type ServeMcp = (request: Request, body: unknown, exchange: McpExchange) => Promise<Response>;

const keepAliveMs = 15_000;
/** Hosts may keep the list of tools for so long. */
const cacheHints = { 'tools/list': { ttlMs: 60_000 }, 'server/discover': { ttlMs: 60_000 } } as const;

/** Fields are checked when they are read, so that all revisions get the same messages. */
const anyParams: StandardSchemaV1<Params> = {
  '~standard': { version: 1, vendor: 'longhaul', validate: (value) => ({ value: value as Params }) },
};

class AgentServer extends Server {
  /** Its result may be a task. */
  protected override _wrapHandler(
    method: string,
    handler: Parameters<Server['_wrapHandler']>[1],
  ): ReturnType<Server['_wrapHandler']> {
    return method === 'tools/call' ? handler : super._wrapHandler(method, handler);
  }
}

export function createMcpServing(parts: McpServingParts): ServeMcp {
  const { getFullCard, methods, log } = parts;
  function createServer(era: Era, exchange: McpExchange): Server {
    const capabilities =
      era === 'modern'
        ? { tools: {}, extensions: { [tasksExtension]: {} } }
        : { tools: {}, tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } };
    const server = new AgentServer(toServerInfo(getFullCard()), { capabilities, instructions, cacheHints });
    for (const [method, run] of methods[era]) {
      server.setRequestHandler(method, { params: anyParams }, async (params, context) => {
        try {
          return { ...(await run(params, toCall(era, exchange.context, context))) };
        } catch (error) {
          const failure = toClientError(log, error);
          if (hasStatus(failure)) exchange.failure = failure;
          throw toMcpError(failure);
        }
      });
    }
    return server;
  }

  const handler = createMcpHandler(
    ({ era, authInfo }) => createServer(era, authInfo?.extra?.['exchange'] as McpExchange),
    { keepAliveMs, onerror: (error) => log.debug({ error: errorMessage(error) }, 'MCP request refused') },
  );
  return (request, body, exchange) =>
    handler.fetch(request, {
      ...(body !== undefined && { parsedBody: body }),
      authInfo: { token: '', clientId: '', scopes: [], extra: { exchange } },
    });
}

const instructions =
  'Each skill of this agent is a tool whose call starts a durable task. A task that takes long or asks something is named in the answer: follow it up with get_task, answer_task and cancel_task. It continues if you disconnect.';

function toCall(era: Era, context: ServerCallContext, { mcpReq }: ServerContext): McpCall {
  const { _meta: meta = {}, envelope, inputResponses, requestState } = mcpReq;
  const { progressToken } = meta;
  return {
    era,
    context,
    capabilities: (envelope as Params | undefined)?.[clientCapabilitiesKey] as ClientCapabilities | undefined,
    meta,
    inputResponses,
    requestState: requestState(),
    report:
      progressToken === undefined
        ? undefined
        : (progress, message) => {
            const params = { progressToken, progress, message };
            // The client may have gone.
            mcpReq.notify({ method: 'notifications/progress', params }).catch(() => undefined);
          },
  };
}
