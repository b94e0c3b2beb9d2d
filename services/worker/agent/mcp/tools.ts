/** Provides the tools of a definition's MCP servers. */
import type { Tool as McpTool } from '@modelcontextprotocol/client';
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import { ParkedError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { UnfinishedOutput, type Tool } from '../gemini/tools/tool.ts';
import type { PartnerWaits } from '../partner-waits.ts';
import type { McpConnection } from './connection.ts';
import { createMcpConnections, type McpConnections } from './connections.ts';
import { readUnfinished } from './messages.ts';
import { isAllowed, matchesAny, toDeclaredNames } from './names.ts';
import { toToolOutput } from './result.ts';
import { fillServerSecrets } from './secrets.ts';

/** How long a pending result is waited for. */
const defaultPendingSeconds = 86_400;

export interface LoadedTools {
  tools: Tool[];
  /** Tools that cannot be used, each with the reason, as a sentence for clients and for the model. */
  leftOut: string[];
}

export interface McpTools {
  /**
   * A server that is away, and whose tools are not known, has one tool instead. The model calls it if it needs the
   * server, and the turn waits then.
   *
   * @param taken names of other tools
   * @param partnerWaits report servers that are silent
   */
  loadTools(
    servers: Record<string, McpServerDefinition>,
    taken: ReadonlySet<string>,
    partnerWaits: PartnerWaits,
  ): Promise<LoadedTools>;
  /**
   * Returns a server that Google calls, as tools of the Interactions API describe it.
   *
   * @throws {CredentialsError} if a secret is not set
   */
  toGoogleServer(name: string, server: McpServerDefinition): GoogleServer;
  close(): Promise<void>;
}

/** Types of @google/genai 3.1, `MCPServer`. */
export interface GoogleServer {
  type: 'mcp_server';
  name: string;
  url: string;
  headers?: Record<string, string>;
  allowed_tools?: { tools: string[] }[];
}

/**
 * @param getSecret returns the value of `${env:NAME}` by its name
 * @param log reports tools that are left out
 * @param connections default: its own
 */
export function createMcpTools(
  getSecret: (name: string) => string | undefined,
  log?: Logger,
  connections: McpConnections = createMcpConnections(getSecret),
): McpTools {
  return {
    loadTools: async (servers, taken, partnerWaits) => {
      const leftOut: string[] = [];
      const listed = await Promise.all(
        Object.entries(servers).map(async ([name, server]) => {
          const connection = await connections.get(name, server);
          const partner = `the MCP server "${name}"`;
          const { list, away } = await partnerWaits.during({ partner }, () => connection.listTools());
          if (away !== undefined) log?.warn({ server: name, err: away }, 'MCP server unavailable');
          if (away !== undefined && server.optional === true) {
            leftOut.push(
              `The tools of the MCP server "${name}" are left out, because it is currently unavailable.`,
            );
            return [];
          }
          const wait = createWaitTool(name, connection, list !== undefined);
          const waits = server.optional === true ? [] : [{ server: name, name: wait.declaration.name, wait }];
          for (const { name: tool, reason } of list?.leftOut ?? []) {
            if (!isAllowed(tool, server)) continue;
            leftOut.push(`The tool "${tool}" of the MCP server "${name}" is left out: ${reason}.`);
            log?.warn({ server: name, tool, reason }, 'MCP tool left out');
          }
          const allowed = (list?.tools ?? []).filter((tool) => isAllowed(tool.name, server));
          const offered = allowed.map((tool) => ({
            server: name,
            name: tool.name,
            tool,
            connection,
            maxChars: server.maxOutputChars,
            optional: server.optional ?? false,
            confirm: matchesAny(tool.name, server.confirm ?? []),
            isPending: matchesAny(tool.name, server.pending ?? []),
            seconds: server.pendingSeconds ?? defaultPendingSeconds,
          }));
          return [...offered, ...waits];
        }),
      );
      const all = listed.flat();
      const names = toDeclaredNames(all, taken);
      const tools = all.map((listedTool, index) => {
        const declared = names[index] ?? listedTool.name;
        if ('wait' in listedTool) return rename(listedTool.wait, declared);
        const { tool, ...options } = listedTool;
        return toTool(declared, tool, options);
      });
      return { tools, leftOut };
    },
    toGoogleServer: (name, server) => {
      const { headers } = fillServerSecrets(name, server, getSecret);
      return {
        type: 'mcp_server',
        name,
        url: server.url ?? '',
        ...(Object.keys(headers).length > 0 && { headers }),
        ...(server.allow !== undefined && { allowed_tools: [{ tools: server.allow }] }),
      };
    },
    close: () => connections.close(),
  };
}

/**
 * Replaces the tools of a server that is away: a call of it parks the turn until the server is back. The turn then
 * runs again with the server's tools, and the call is answered.
 */
function createWaitTool(server: string, connection: McpConnection, hidden: boolean): Tool {
  return {
    declaration: {
      name: `wait_for_${server}`,
      description: `The tools of the MCP server "${server}" are currently unavailable. Call this only if the task needs them: the task then waits until they are available.`,
      parametersJsonSchema: { type: 'object', properties: {} },
    },
    sideEffects: false,
    hidden,
    server,
    prepare: async () => {
      await connection.prepare();
      if (!hidden) {
        throw new ParkedError(`The MCP server "${server}" is available again.`, new Date(databaseNow()));
      }
    },
    call: async () => `The tools of the MCP server "${server}" are available now.`,
  };
}

function rename(tool: Tool, name: string): Tool {
  return { ...tool, declaration: { ...tool.declaration, name } };
}

function toTool(
  name: string,
  tool: McpTool,
  {
    server,
    connection,
    maxChars,
    confirm,
    optional,
    isPending,
    seconds,
  }: {
    server: string;
    connection: McpConnection;
    maxChars: number;
    confirm: boolean;
    optional: boolean;
    isPending: boolean;
    /** How long a result that comes later is waited for. */
    seconds: number;
  },
): Tool {
  // Absent hints mean a tool with side effects (MCP specification, "ToolAnnotations").
  const { readOnlyHint = false, idempotentHint = false } = tool.annotations ?? {};
  const { $schema: _, ...schema } = tool.inputSchema as JsonObject;
  return {
    declaration: { name, description: tool.description ?? tool.title ?? name, parametersJsonSchema: schema },
    sideEffects: !readOnlyHint,
    confirm,
    server,
    ...(isPending && { later: { seconds, maxChars } }),
    ...(!optional && { prepare: () => connection.prepare() }),
    call: async (args, context) => {
      const repeatable = readOnlyHint || idempotentHint;
      const result = await connection.call({ tool, args, repeatable, ...context });
      const unfinished = readUnfinished(result);
      if (unfinished !== undefined) return new UnfinishedOutput({ server, maxChars, seconds, ...unfinished });
      const { findResultProblem } = await import('./schemas.ts');
      return toToolOutput(result, maxChars, findResultProblem(tool, result));
    },
    answerTask: (taskId, responses, signal) =>
      connection.withTasks(signal, (tasks) => tasks.update(taskId, responses, signal)),
  };
}
