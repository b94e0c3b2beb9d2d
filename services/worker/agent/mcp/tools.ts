/**
 * Provides the tools of a definition's MCP servers. Connections are keyed by the definition of a server, so
 * that all tasks with the same server share one, even across versions of the agent's definition.
 */
import type { Tool as McpTool } from '@modelcontextprotocol/client';
import { canonicalHash } from '#shared/agent/canonical-hash.ts';
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { Tool } from '../gemini/tools/tool.ts';
import type { McpConnection } from './connection.ts';
import { isAllowed, matchesAny, toDeclaredNames } from './names.ts';
import { toToolOutput } from './result.ts';

export interface McpTools {
  /**
   * @param taken names of other tools
   * @throws {CredentialsError} if a server needs credentials that are missing or refused
   * @throws {RetryableError} if a server is unavailable
   */
  loadTools(servers: Record<string, McpServerDefinition>, taken: ReadonlySet<string>): Promise<Tool[]>;
  close(): Promise<void>;
}

/** @param getSecret returns the value of `${env:NAME}` by its name */
export function createMcpTools(getSecret: (name: string) => string | undefined): McpTools {
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
      const listed = await Promise.all(
        Object.entries(servers).map(async ([name, server]) => {
          const connection = await getConnection(name, server);
          const tools = await connection.listTools();
          return tools
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
      return all.map(({ tool, ...options }, index) => toTool(names[index] ?? tool.name, tool, options));
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
      const result = await connection.call({ name: tool.name, args, idempotencyKey, repeatable, signal });
      return toToolOutput(result, maxChars);
    },
  };
}
