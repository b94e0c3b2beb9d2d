/** How an MCP server is reached: a child process, or streamable HTTP, with the secrets filled in. */
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { fillSecrets, type McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import { CredentialsError } from '../errors.ts';

export interface Transport {
  transport: StdioClientTransport | StreamableHTTPClientTransport;
  /** Adds to an error what the process said before it ended. It goes into logs, not to clients. */
  explain(error: unknown): unknown;
}

const keptChars = 2000;

/** @throws {CredentialsError} where a secret is not set */
export function openTransport(
  name: string,
  server: McpServerDefinition,
  secretOf: (name: string) => string | undefined,
): Transport {
  const missing: string[] = [];
  const fill = (values: Record<string, string> = {}) =>
    Object.fromEntries(
      Object.entries(values).map(([key, value]) => [
        key,
        fillSecrets(value, secretOf, (secret) => missing.push(secret)),
      ]),
    );
  const headers = fill(server.headers);
  const env = fill(server.env);
  if (missing.length > 0) {
    throw new CredentialsError(
      `The MCP server "${name}" needs credentials that this agent was not given: ${missing.join(', ')}. When its operator has set them, send any message to go on.`,
    );
  }
  if (server.url !== undefined) {
    const transport = new StreamableHTTPClientTransport(new URL(server.url), { requestInit: { headers } });
    return { transport, explain: (error) => error };
  }
  // The process gets a few harmless variables of this one (PATH, HOME …) and those that are named for it.
  const transport = new StdioClientTransport({
    command: server.command ?? '',
    args: server.args ?? [],
    env,
    stderr: 'pipe',
    ...(server.cwd !== undefined && { cwd: server.cwd }),
  });
  let said = '';
  transport.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-keptChars)));
  return {
    transport,
    explain: (error) =>
      said === '' ? error : new Error(`its process said: ${said.trim()}`, { cause: error }),
  };
}
