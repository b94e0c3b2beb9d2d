/**
 * The tools of the MCP servers of a definition. Connections are kept by what a server's definition says, so that all
 * tasks that name the same server share one, also those of an older definition.
 */
import type { Tool as McpTool } from '@modelcontextprotocol/client';
import { canonicalHash } from '#shared/agent/canonical-hash.ts';
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { Tool } from '../gemini/tools/tool.ts';
import type { McpConnection } from './connection.ts';
import { declaredNames, isAllowed, matches } from './names.ts';
import { toToolOutput } from './result.ts';

export interface McpTools {
  /**
   * @param taken names that other tools have
   * @throws {CredentialsError | RetryableError} where a server cannot be used
   */
  toolsOf(servers: Record<string, McpServerDefinition>, taken: ReadonlySet<string>): Promise<Tool[]>;
  close(): Promise<void>;
}

export function createMcpTools(secretOf: (name: string) => string | undefined): McpTools {
  const connections = new Map<string, McpConnection>();

  // The client of MCP is loaded with the first server.
  async function connectionTo(name: string, server: McpServerDefinition): Promise<McpConnection> {
    const { McpConnection } = await import('./connection.ts');
    const { command, args, env, cwd, url, headers, timeoutSeconds } = server;
    const key = canonicalHash({ name, command, args, env, cwd, url, headers, timeoutSeconds });
    const known = connections.get(key) ?? new McpConnection(name, server, secretOf);
    connections.set(key, known);
    return known;
  }

  return {
    toolsOf: async (servers, taken) => {
      const listed = await Promise.all(
        Object.entries(servers).map(async ([name, server]) => {
          const connection = await connectionTo(name, server);
          const tools = await connection.tools();
          return tools
            .filter((tool) => isAllowed(tool.name, server))
            .map((tool) => ({
              server: name,
              name: tool.name,
              tool,
              connection,
              maxChars: server.maxOutputChars,
              confirm: matches(tool.name, server.confirm ?? []),
            }));
        }),
      );
      const all = listed.flat();
      const names = declaredNames(all, taken);
      return all.map(({ tool, ...about }, index) => toTool(names[index] ?? tool.name, tool, about));
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
  // The hints' defaults are the careful ones (specification of tools, "ToolAnnotations").
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
