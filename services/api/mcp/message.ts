/** Reads the message of a request. The SDK checks the rest of the protocol. */
import type { FastifyRequest } from 'fastify';
import { errorMessage } from '#shared/runtime/log.ts';
import { readHead } from '../bindings/jsonrpc/head.ts';
import { findMembers, parseScalar } from '../bindings/jsonrpc/members.ts';
import { HttpRequestError } from '../handler/errors.ts';
import { checkJsonText } from '../handler/validate/json.ts';
import { maxSmallBodyBytes, readText } from '../http/body.ts';
import { isCapabilities, isObject } from './capabilities.ts';
import { errorCode, McpError } from './errors.ts';
import type { DirectRequest } from './direct.ts';
import type { ListenRequest } from './tasks/listen.ts';
import { clientCapabilitiesKey } from './protocol.ts';

export interface McpMessage {
  body: object;
  id: unknown;
  /** W3C Trace Context, as hosts send it in `_meta`. */
  traceparent: string | undefined;
  /** Set if the message subscribes to tasks. */
  listen: ListenRequest | undefined;
  /** Set if the message is a request of 2026-07-28 that is plainly valid and asks for no progress. */
  direct: DirectRequest | undefined;
}

const modernRevision = '2026-07-28';
/** The methods whose messages may be large. */
const largeMethods = new Set(['tools/call', 'tasks/update']);

/**
 * @throws {HttpRequestError} 415 if the body is not JSON in UTF-8
 * @throws {McpError} if it is not one message of JSON-RPC
 */
export function readMessage(request: FastifyRequest): McpMessage {
  if (request.mediaType !== 'application/json') {
    const sent = request.mediaType ?? 'a body without Content-Type';
    throw new HttpRequestError(415, `The body must be application/json, not ${sent}`);
  }
  const { body: bytes } = request;
  const isLarge = Buffer.isBuffer(bytes) && bytes.length > maxSmallBodyBytes;
  if (isLarge) checkHead(bytes);
  let text: string;
  try {
    text = readText(request);
  } catch (error) {
    throw error instanceof HttpRequestError ? error : new McpError(errorCode.parse, errorMessage(error));
  }
  try {
    // Before it is parsed: 8 MB of empty objects take half a second and 200 MB.
    checkJsonText('The body', text);
  } catch (error) {
    throw new McpError(errorCode.invalidRequest, errorMessage(error));
  }
  if (isLarge) for (const json of findMembers(text, 'method').method) checkMayBeLarge(parseScalar(json));
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new McpError(errorCode.parse, `The body is not valid JSON: ${errorMessage(error)}`);
  }
  if (Array.isArray(body)) {
    throw new McpError(errorCode.invalidRequest, 'Batches are not supported: send one message');
  }
  if (!isObject(body))
    throw new McpError(errorCode.invalidRequest, 'The body must be a message of JSON-RPC 2.0');
  const { id, method } = body;
  if (isLarge) checkMayBeLarge(method);
  const params = isObject(body['params']) ? body['params'] : {};
  const meta = isObject(params['_meta']) ? params['_meta'] : {};
  const { traceparent } = meta;
  return {
    body,
    id,
    traceparent: typeof traceparent === 'string' ? traceparent : undefined,
    listen: readListen(request, body, params, meta),
    direct: readDirect(request, body, params, meta),
  };
}

/** Refuses a large body before it is read as text, if its start has the method. */
function checkHead(body: Buffer): void {
  const { method } = readHead(body);
  if (method !== undefined) checkMayBeLarge(method);
}

/** @throws {McpError} if the messages of this method have a few short fields */
function checkMayBeLarge(method: unknown): void {
  if (typeof method === 'string' && largeMethods.has(method)) return;
  const allowed = [...largeMethods].join(' and ');
  throw new McpError(
    errorCode.invalidRequest,
    `The body is larger than ${maxSmallBodyBytes} bytes, which only ${allowed} may be`,
  );
}

/** Every other request for a subscription, valid or not, is answered by the SDK. */
function readListen(
  { headers }: FastifyRequest,
  { jsonrpc, id, method }: Record<string, unknown>,
  { notifications }: Record<string, unknown>,
  meta: Record<string, unknown>,
): ListenRequest | undefined {
  if (method !== 'subscriptions/listen' || jsonrpc !== '2.0' || !isObject(notifications)) return undefined;
  if (typeof id !== 'string' && typeof id !== 'number') return undefined;
  const { taskIds } = notifications;
  const isModern =
    meta['io.modelcontextprotocol/protocolVersion'] === modernRevision &&
    headers['mcp-protocol-version'] === modernRevision &&
    headers['mcp-method'] === method;
  const capabilities = meta[clientCapabilitiesKey];
  if (!isModern || taskIds === undefined || !isCapabilities(capabilities)) return undefined;
  if (!Array.isArray(taskIds) || !taskIds.every((taskId) => typeof taskId === 'string')) {
    throw new McpError(errorCode.invalidParams, 'notifications.taskIds must be a list of the ids of tasks');
  }
  return { id, taskIds, capabilities };
}

/** The values of `Mcp-Name` by method (MCP 2026-07-28, basic/transports/streamable-http; SEP-2663, "Routing Headers"). */
const namedBy: Readonly<Record<string, 'name' | 'taskId'>> = {
  'tools/call': 'name',
  'tasks/get': 'taskId',
  'tasks/update': 'taskId',
  'tasks/cancel': 'taskId',
};

function readDirect(
  { headers }: FastifyRequest,
  { jsonrpc, id, method }: Record<string, unknown>,
  params: Record<string, unknown>,
  meta: Record<string, unknown>,
): DirectRequest | undefined {
  if (typeof method !== 'string' || !Object.hasOwn(namedBy, method)) return undefined;
  const client = meta['io.modelcontextprotocol/clientInfo'];
  const capabilities = meta[clientCapabilitiesKey];
  const name = params[namedBy[method] ?? ''];
  const isValid =
    jsonrpc === '2.0' &&
    (typeof id === 'string' || Number.isSafeInteger(id)) &&
    typeof name === 'string' &&
    headers['mcp-name'] === name &&
    headers['mcp-method'] === method &&
    headers['mcp-protocol-version'] === modernRevision &&
    meta['io.modelcontextprotocol/protocolVersion'] === modernRevision &&
    isObject(client) &&
    typeof client['name'] === 'string' &&
    typeof client['version'] === 'string' &&
    isCapabilities(capabilities) &&
    meta['progressToken'] === undefined;
  if (!isValid) return undefined;
  return { id: id as string | number, method, params, capabilities, meta };
}
