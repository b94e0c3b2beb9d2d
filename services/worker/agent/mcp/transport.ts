/** Opens the transport to an MCP server: a child process or streamable HTTP, with the secrets filled in. */
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import { createFetch } from '../fetch.ts';
import { rejectBusy } from './failures.ts';
import { fillServerSecrets } from './secrets.ts';

export interface McpTransport {
  transport: StdioClientTransport | StreamableHTTPClientTransport;
  /** Adds the last output of the child process to an error, for logs. Clients never see it. */
  explain(error: unknown): unknown;
}

const maxOutputChars = 2000;

/** Silence that is allowed in any case: the stream of notifications is silent for long. */
const minSilenceMs = 5 * 60_000;

/** @throws {CredentialsError} if a secret is not set */
export function openTransport(
  name: string,
  server: McpServerDefinition,
  getSecret: (name: string) => string | undefined,
): McpTransport {
  const { headers, env } = fillServerSecrets(name, server, getSecret);
  if (server.url !== undefined) {
    const silenceMs = Math.max(minSilenceMs, server.timeoutSeconds * 1000 + 10_000);
    const fetch = rejectBusy(createFetch(silenceMs));
    const transport = new StreamableHTTPClientTransport(new URL(server.url), {
      requestInit: { headers },
      fetch,
    });
    return { transport, explain: (error) => error };
  }
  // The process inherits a few harmless variables (PATH, HOME …) and gets those of its definition.
  const transport = new StdioClientTransport({
    command: server.command ?? '',
    args: server.args ?? [],
    env,
    stderr: 'pipe',
    ...(server.cwd !== undefined && { cwd: server.cwd }),
  });
  let output = '';
  transport.stderr?.on(
    'data',
    (chunk: Buffer) => (output = (output + chunk.toString()).slice(-maxOutputChars)),
  );
  return {
    transport,
    explain: (error) =>
      output === '' ? error : new Error(`output of the MCP process: ${output.trim()}`, { cause: error }),
  };
}
