/**
 * The envelope of JSON-RPC 2.0 (sections 4 and 5): text that is not JSON is a parse error, and JSON that is
 * not a request is an invalid request. Both have the codes of JSON-RPC.
 */
import { A2A_ERROR_CODE, A2AError, toJsonRpcError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { errorMessage } from '#shared/runtime/log.ts';
import { UnauthenticatedError } from '../../auth/caller.ts';
import { HttpRequestError, RetryLaterError } from '../../handler/errors.ts';
import type { Params } from '../../handler/operations.ts';
import { checkJsonText } from '../../handler/validate/json.ts';
import { maxSmallBodyBytes } from '../../http/body.ts';
import type { FailureFormat } from '../../http/failure.ts';

export type RpcId = string | number | null;

export interface RpcError {
  code: number;
  message: string;
  data?: unknown;
}

export interface RpcRequest {
  id: RpcId;
  method: string;
  params: Params;
  /** A request without an id, which must not be answered (section 4.1). */
  notification: boolean;
  body: Record<string, unknown>;
}

export type Envelope = RpcRequest | { id: RpcId; error: RpcError };

/** The methods whose requests may be large, in A2A 1.0 and 0.3. */
const sendMethods = new Set(['SendMessage', 'SendStreamingMessage', 'message/send', 'message/stream']);

/** Ids are repeated in each event of a stream. */
const maxIdLength = 256;

export function readEnvelope(sent: unknown): Envelope {
  const text = typeof sent === 'string' ? sent : '';
  let body: unknown;
  try {
    checkJsonText('The body', text);
  } catch (error) {
    return invalid(null, errorMessage(error));
  }
  try {
    body = JSON.parse(text);
  } catch (error) {
    const message = `The body is not valid JSON: ${errorMessage(error)}`;
    return { id: null, error: { code: A2A_ERROR_CODE.PARSE_ERROR, message } };
  }
  if (Array.isArray(body)) return invalid(null, 'Batches are not supported: send one request object');
  if (!isObject(body)) return invalid(null, 'The body must be a JSON-RPC 2.0 request object');
  const { jsonrpc, id = null, method } = body;
  const params = body['params'] ?? {};
  if (!isId(id)) {
    return invalid(null, `id must be a string of at most ${maxIdLength} characters, a whole number or null`);
  }
  if (jsonrpc !== '2.0') return invalid(id, 'jsonrpc must be "2.0"');
  if (typeof method !== 'string' || method === '') return invalid(id, 'method must be a non-empty string');
  if (text.length > maxSmallBodyBytes && !sendMethods.has(method)) {
    return invalid(id, `The body is larger than ${maxSmallBodyBytes} bytes, which only messages may be`);
  }
  if (!isObject(params)) {
    const message = 'params must be an object with the fields of the request';
    return { id, error: { code: A2A_ERROR_CODE.INVALID_PARAMS, message } };
  }
  return { id, method, params, notification: !('id' in body), body };
}

function invalid(id: RpcId, message: string): Envelope {
  return { id, error: { code: A2A_ERROR_CODE.INVALID_REQUEST, message } };
}

function isId(id: unknown): id is RpcId {
  return id === null || Number.isInteger(id) || (typeof id === 'string' && id.length <= maxIdLength);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The outcome of a method: one result, or a stream of results. */
export type RpcResponse =
  | { kind: 'result'; result: unknown }
  | { kind: 'stream'; payloads: AsyncGenerator<unknown, void, undefined> };

/** Runs the methods of one protocol version. Throws the errors of operations, or an `RpcFailure`. */
export type Methods = (request: RpcRequest, context: ServerCallContext) => Promise<RpcResponse>;

/** An error that has a code of JSON-RPC and none of A2A. Its message is for clients. */
export class RpcFailure extends A2AError {
  readonly rpc: RpcError;

  constructor(rpc: RpcError) {
    super(rpc.message);
    this.name = 'RpcFailure';
    this.rpc = rpc;
  }
}

/**
 * A server error of JSON-RPC 2.0 (section 5.1): neither JSON-RPC nor A2A has a code for missing credentials.
 */
const unauthenticatedCode = -32000;

function toRpcError(error: Error): RpcError {
  if (error instanceof RpcFailure) return error.rpc;
  const { message } = error;
  if (error instanceof UnauthenticatedError) return { code: unauthenticatedCode, message };
  if (error instanceof HttpRequestError) return { code: A2A_ERROR_CODE.INVALID_REQUEST, message };
  return withDetails(toJsonRpcError(error), error);
}

/** Adds the details that an error has, as `data`. */
export function withDetails(rpc: RpcError, error: unknown): RpcError {
  return error instanceof RetryLaterError && error.details.length > 0 ? { ...rpc, data: error.details } : rpc;
}

/** @param toError maps errors other than `RpcFailure`; default: as A2A 1.0 does */
export function toErrorEnvelope(id: RpcId, error: Error, toError: (error: Error) => RpcError = toRpcError) {
  return { jsonrpc: '2.0', id, error: error instanceof RpcFailure ? error.rpc : toError(error) };
}

/** The form of errors that occur before a request has been read. */
export const rpcFailure: FailureFormat = {
  contentType: 'application/json',
  toBody: (error) => toErrorEnvelope(null, error),
};
