/** A minimal client of MCP: it sends requests as given, and returns answers as received. */
import { readSse } from './sse.ts';
import type { AnyJson } from './any-json.ts';

export const modern = '2026-07-28';
export const tasksExtension = 'io.modelcontextprotocol/tasks';
/** Capabilities of a client that knows tasks and shows forms. */
export const knowsTasks = { elicitation: { form: {} }, extensions: { [tasksExtension]: {} } };

export type Json = AnyJson;

export interface McpAnswer {
  status: number;
  headers: Headers;
  result?: Json;
  error?: { code: number; message: string; data?: Json };
  /** The messages before the answer. */
  notifications: Json[];
}

export interface McpOptions {
  /** Added to those that the revision requires, which they may replace. */
  headers?: Record<string, string>;
  /** Default: 2026-07-28. */
  revision?: string;
  /** Those of the client, in 2026-07-28. Default: none. */
  capabilities?: object;
  meta?: object;
  id?: unknown;
  signal?: AbortSignal;
}

/** Sends one request to the api service at `url` and returns the response, unread. */
export function postMcp(
  url: string,
  method: string,
  params: Json,
  options: McpOptions = {},
): Promise<Response> {
  const { headers = {}, revision = modern, capabilities = {}, meta = {}, id = 1, signal } = options;
  const isModern = revision === modern;
  const name = params.name ?? params.taskId;
  const envelope = {
    'io.modelcontextprotocol/protocolVersion': revision,
    'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': capabilities,
  };
  return fetch(`${url}/mcp`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': revision,
      ...(isModern && { 'mcp-method': method }),
      ...(isModern && typeof name === 'string' && { 'mcp-name': name }),
      ...headers,
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id,
      method,
      params: { ...params, _meta: { ...(isModern && envelope), ...meta } },
    }),
    ...(signal !== undefined && { signal }),
  });
}

/** Sends one request and reads its answer. */
export async function callMcp(
  url: string,
  method: string,
  params: Json = {},
  options: McpOptions = {},
): Promise<McpAnswer> {
  return readMcpAnswer(await postMcp(url, method, params, options));
}

/** Reads an answer of JSON or of a stream. */
export async function readMcpAnswer(response: Response): Promise<McpAnswer> {
  const { status, headers } = response;
  const messages: Json[] = [];
  if (headers.get('content-type')?.startsWith('text/event-stream') === true) {
    for await (const { data } of readSse(response)) messages.push(data);
  } else {
    const text = await response.text();
    if (text !== '') messages.push(JSON.parse(text));
  }
  const answer = messages.find((message) => !('method' in message)) ?? {};
  const notifications = messages.filter((message) => 'method' in message);
  return { status, headers, result: answer.result, error: answer.error, notifications };
}
