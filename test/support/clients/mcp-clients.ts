/** Clients of the SDK and of its package for tasks, as hosts of MCP use them. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import {
  createTaskSessionFromClient,
  type TaskEnabledSession,
  type WithTasksOptions,
} from '@modelcontextprotocol/ext-tasks/client';
import { modern, postMcp, readMcpAnswer, type Json } from './mcp.ts';

const clientInfo = { name: 'test', version: '1' };
const elicitation = { form: {} };

export type Revision = '2026-07-28' | '2025-11-25';

/** Connects a client of the SDK. */
export async function connectClient(
  url: string,
  headers: Record<string, string>,
  revision: Revision,
): Promise<Client> {
  const client = new Client(clientInfo, {
    capabilities: { elicitation },
    versionNegotiation: revision === modern ? { mode: { pin: modern } } : { mode: 'legacy' },
  });
  await client.connect(
    new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit: { headers } }),
  );
  return client;
}

/** Opens a session that knows tasks. In 2026-07-28 the SDK refuses their messages, so they are sent as they are. */
export function openTaskSession(
  client: Client,
  url: string,
  headers: Record<string, string>,
  options: WithTasksOptions = {},
): TaskEnabledSession {
  if (client.getProtocolEra() !== 'modern') {
    return createTaskSessionFromClient(client, { endpointId: url, ...options });
  }
  return createTaskSessionFromClient(client, {
    endpointId: url,
    ...options,
    v2RequestFraming: { protocolVersion: modern, clientInfo, clientCapabilities: { elicitation } },
    rawDispatch: async (request: Json) => {
      const { _meta: meta, ...params } = request.params;
      const response = await postMcp(url, request.method, params, { headers, meta });
      const { result, error } = await readMcpAnswer(response);
      return error === undefined ? { kind: 'result', result } : { kind: 'error', error };
    },
  });
}
