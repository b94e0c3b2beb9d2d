/**
 * The envelope of JSON-RPC 2.0 (sections 4 and 5): what is not JSON is a parse error, what is not a request an invalid
 * one. The codes for these are JSON-RPC's own.
 */
import { A2A_ERROR_CODE } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { errorMessage } from '#shared/runtime/log.ts';
import { checkDepth, maxBodyDepth } from '../../handler/validate/json-depth.ts';
import type { Params } from '../../handler/operations.ts';

export type Id = string | number | null;

export interface RpcError {
  code: number;
  message: string;
  data?: unknown;
}

export interface RpcRequest {
  id: Id;
  method: string;
  params: Params;
  /** A request without an id: nothing may be answered (section 4.1). */
  notification: boolean;
  body: Record<string, unknown>;
}

export type Envelope = RpcRequest | { id: Id; error: RpcError };

export function readEnvelope(text: unknown): Envelope {
  let body: unknown;
  try {
    body = JSON.parse(typeof text === 'string' ? text : '');
  } catch (error) {
    const message = `The body is not valid JSON: ${errorMessage(error)}`;
    return { id: null, error: { code: A2A_ERROR_CODE.PARSE_ERROR, message } };
  }
  try {
    checkDepth('The body', body, maxBodyDepth);
  } catch (error) {
    return invalid(null, errorMessage(error));
  }
  if (Array.isArray(body)) return invalid(null, 'Batches are not taken: send one request object');
  if (!isObject(body)) return invalid(null, 'The body must be a JSON-RPC 2.0 request object');
  const { jsonrpc, id = null, method, params = {} } = body;
  if (!isId(id)) return invalid(null, 'id must be a string, a whole number or null');
  if (jsonrpc !== '2.0') return invalid(id, 'jsonrpc must be "2.0"');
  if (typeof method !== 'string' || method === '') return invalid(id, 'method must be a string');
  if (!isObject(params)) {
    const message = 'params must be an object with the fields of the request';
    return { id, error: { code: A2A_ERROR_CODE.INVALID_PARAMS, message } };
  }
  return { id, method, params, notification: !('id' in body), body };
}

function invalid(id: Id, message: string): Envelope {
  return { id, error: { code: A2A_ERROR_CODE.INVALID_REQUEST, message } };
}

function isId(id: unknown): id is Id {
  return id === null || typeof id === 'string' || Number.isInteger(id);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a method gives: its result, or the results of a stream. */
export type Answer =
  | { kind: 'result'; result: unknown }
  /** `always`: also what is refused before the first event is told within the stream. */
  | { kind: 'stream'; payloads: AsyncGenerator<unknown, void, undefined>; always: boolean };

/** The methods of one version. Throws what goes wrong. */
export type Methods = (request: RpcRequest, context: ServerCallContext) => Promise<Answer>;

/** An error that JSON-RPC has a code for and A2A has none. */
export class RpcFailure extends Error {
  override readonly name = 'RpcFailure';
  readonly rpc: RpcError;

  constructor(rpc: RpcError) {
    super(rpc.message);
    this.rpc = rpc;
  }
}
