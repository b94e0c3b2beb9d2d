/**
 * Provides the tools of a definition's MCP servers. Connections are keyed by the definition of a server, so
 * that all tasks with the same server share one, even across versions of the agent's definition.
 */
import type { Tool as McpTool } from '@modelcontextprotocol/client';
import { canonicalHash } from '#shared/agent/canonical-hash.ts';
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { Logger } from '#shared/runtime/log.ts';
import type { Tool } from '../gemini/tools/tool.ts';
import type { McpConnection } from './connection.ts';
import { isAllowed, matchesAny, toDeclaredNames } from './names.ts';
import { toToolOutput } from './result.ts';

export interface LoadedTools {
  tools: Tool[];
  /** Tools that cannot be used, each with the reason, as a sentence for clients. */
  leftOut: string[];
}

export interface McpTools {
  /**
   * @param taken names of other tools
   * @throws {CredentialsError} if a server needs credentials that are missing or refused
   * @throws {RetryableError} if a server is unavailable
   */
  loadTools(servers: Record<string, McpServerDefinition>, taken: ReadonlySet<string>): Promise<LoadedTools>;
  close(): Promise<void>;
}

/**
 * @param getSecret returns the value of `${env:NAME}` by its name
 * @param log reports tools that are left out
 */
export function createMcpTools(getSecret: (name: string) => string | undefined, log?: Logger): McpTools {
  const connections = new Map<string, McpConnection>();

  // The MCP client is loaded with the first server, so that workers start quickly.
  async function getConnection(name: string, server: McpServerDefinition): Promise<McpConnection> {
    const { McpConnection } = await import('./connection.ts');
    const { command, args, env, cwd, url, headers, timeoutSeconds } = server;
    const key = canonicalHash({ name, command, args, env, cwd, url, headers, timeoutSeconds });
    const connection = connections.get(key) ?? new McpConnection(name, server, getSecret);
    connections.set(key, connection);
    return connection;
  }

  return {
    loadTools: async (servers, taken) => {
      const leftOut: string[] = [];
      const listed = await Promise.all(
        Object.entries(servers).map(async ([name, server]) => {
          const connection = await getConnection(name, server);
          const list = await connection.listTools();
          for (const { name: tool, reason } of list.leftOut) {
            if (!isAllowed(tool, server)) continue;
            leftOut.push(`The tool "${tool}" of the MCP server "${name}" is left out: ${reason}.`);
            log?.warn({ server: name, tool, reason }, 'MCP tool left out');
          }
          return list.tools
            .filter((tool) => isAllowed(tool.name, server))
            .map((tool) => ({
              server: name,
              name: tool.name,
              tool,
              connection,
              maxChars: server.maxOutputChars,
              confirm: matchesAny(tool.name, server.confirm ?? []),
            }));
        }),
      );
      const all = listed.flat();
      const names = toDeclaredNames(all, taken);
      const tools = all.map(({ tool, ...options }, index) =>
        toTool(names[index] ?? tool.name, tool, options),
      );
      return { tools, leftOut };
    },
    close: async () => {
      await Promise.all([...connections.values()].map((connection) => connection.close()));
    },
  };
}

function toTool(
  name: string,
  tool: McpTool,
  { connection, maxChars, confirm }: { connection: McpConnection; maxChars: number; confirm: boolean },
): Tool {
  // Absent hints mean a tool with side effects (MCP specification, "ToolAnnotations").
  const { readOnlyHint = false, idempotentHint = false } = tool.annotations ?? {};
  const { $schema: _, ...schema } = tool.inputSchema as JsonObject;
  return {
    declaration: { name, description: tool.description ?? tool.title ?? name, parametersJsonSchema: schema },
    sideEffects: !readOnlyHint,
    confirm,
    call: async (args, { idempotencyKey, signal }) => {
      const repeatable = readOnlyHint || idempotentHint;
      const result = await connection.call({ tool, args, idempotencyKey, repeatable, signal });
      const { findResultProblem } = await import('./schemas.ts');
      return toToolOutput(result, maxChars, findResultProblem(tool, result));
    },
  };
}
