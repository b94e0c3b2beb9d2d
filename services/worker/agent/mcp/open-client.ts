/** Opens the client of an MCP server, and what is known of the server with it. */
import { Client } from '@modelcontextprotocol/client';
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import { correctMessages } from './messages.ts';
import { tasksExtension } from './tasks/requests.ts';
import { CachedToolList } from './tool-list.ts';
import { openTransport } from './transport.ts';

export interface OpenConnection {
  client: Client;
  list: CachedToolList;
}

/** @throws {CredentialsError} if a secret is not set */
export async function openClient(
  name: string,
  server: McpServerDefinition,
  getSecret: (name: string) => string | undefined,
  onClose: (client: Client) => void,
): Promise<OpenConnection> {
  const transport = openTransport(name, server, getSecret);
  const client: Client = new Client(
    { name: 'longhaul', version: '1' },
    {
      capabilities: {
        extensions: { [tasksExtension]: {} },
        ...(server.elicitation !== false && { elicitation: { form: {} } }),
      },
      // Supports servers of the 2026 specification and of earlier ones.
      versionNegotiation: { mode: 'auto' },
      listChanged: { tools: { autoRefresh: false, onChanged: () => list.expire() } },
    },
  );
  // Such a request waits on an open call, so it cannot be kept until the caller of the task answers.
  if (server.elicitation !== false)
    client.setRequestHandler('elicitation/create', () => ({ action: 'cancel' }));
  const timeout = server.timeoutSeconds * 1000;
  const list = new CachedToolList(async () => {
    return (await client.listTools(undefined, { timeout, cacheMode: 'refresh' })).tools;
  });
  /* oxlint-disable unicorn/prefer-add-event-listener -- the client offers only these properties */
  client.onclose = () => onClose(client);
  client.onerror = (error) => {
    // The response stream is lost for good. Closing the client fails pending calls now, not at their
    // timeout.
    if (error.message.startsWith('Maximum reconnection attempts')) void client.close();
  };
  /* oxlint-enable unicorn/prefer-add-event-listener */
  try {
    await client.connect(transport.transport, { timeout });
  } catch (error) {
    await client.close();
    throw transport.explain(error);
  }
  correctMessages(transport.transport);
  return { client, list };
}
