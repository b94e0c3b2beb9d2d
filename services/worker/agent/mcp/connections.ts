/**
 * The connections to MCP servers of this process. They are keyed by the definition of a server, so that all tasks with the
 * same server share one, even across versions of the agent's definition.
 */
import { canonicalHash } from '#shared/agent/canonical-hash.ts';
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import type { McpConnection } from './connection.ts';

export interface McpConnections {
  get(name: string, server: McpServerDefinition): Promise<McpConnection>;
  close(): Promise<void>;
}

export function createMcpConnections(getSecret: (name: string) => string | undefined): McpConnections {
  const connections = new Map<string, McpConnection>();
  return {
    get: async (name, server) => {
      // The MCP client is loaded with the first server, so that workers start quickly.
      const { McpConnection } = await import('./connection.ts');
      // Definitions that differ only in how they use the tools share a connection.
      const { command, args, env, cwd, url, headers, timeoutSeconds, maxSeconds, optional, elicitation } =
        server;
      const connected = {
        command,
        args,
        env,
        cwd,
        url,
        headers,
        timeoutSeconds,
        maxSeconds,
        optional,
        elicitation,
      };
      const key = canonicalHash({ name, ...connected });
      const connection = connections.get(key) ?? new McpConnection(name, server, getSecret);
      connections.set(key, connection);
      return connection;
    },
    close: async () => {
      await Promise.all([...connections.values()].map((connection) => connection.close()));
    },
  };
}
