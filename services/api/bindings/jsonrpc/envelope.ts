/**
 * The envelope of JSON-RPC 2.0 (sections 4 and 5): text that is not JSON is a parse error, and JSON that is
 * not a request is an invalid request. Both have the codes of JSON-RPC.
 */
import { A2A_ERROR_CODE, A2AError, RequestMalformedError, toJsonRpcError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { FastifyRequest } from 'fastify';
import { errorMessage } from '#shared/runtime/log.ts';
import { ForbiddenError, UnauthenticatedError } from '../../auth/errors.ts';
import { HttpRequestError, RetryLaterError } from '../../handler/errors.ts';
import type { Params } from '../../handler/operations.ts';
import { checkJsonText } from '../../handler/validate/json.ts';
import { maxSmallBodyBytes, readText } from '../../http/body.ts';
import type { FailureFormat } from '../../http/failure.ts';
import { isSmallMethod, readHead, startsBatch, tooLargeText } from './head.ts';
import { findMembers, parseScalar } from './members.ts';

/** An object is a number that JavaScript would round, as `JSON.rawJSON` writes it. */
export type RpcId = string | number | object | null;

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

export type RefusedEnvelope = { id: RpcId; error: RpcError };

export type Envelope = RpcRequest | RefusedEnvelope;

/** Ids are repeated in each event of a stream. */
const maxIdLength = 256;
/** The JSON of a longer id or method is not read. Each character may be escaped. */
const maxScalarChars = 6 * maxIdLength + 2;

const batchText = 'Batches are not supported: send one request object';

/**
 * Reads the text of a request, and checks it as far as that is possible before it is parsed.
 *
 * @returns the text, or a refusal
 * @throws {HttpRequestError} as `readText`
 */
export function readRequestText(request: FastifyRequest): string | RefusedEnvelope {
  const { body } = request;
  const isLarge = Buffer.isBuffer(body) && body.length > maxSmallBodyBytes;
  const refused = isLarge ? refuseByHead(body) : undefined;
  if (refused !== undefined) return refused;
  let text: string;
  try {
    text = readText(request);
  } catch (error) {
    if (!(error instanceof RequestMalformedError)) throw error;
    return { id: null, error: { code: A2A_ERROR_CODE.PARSE_ERROR, message: error.message } };
  }
  try {
    checkJsonText('The body', text);
  } catch (error) {
    return invalid(null, errorMessage(error));
  }
  return (isLarge ? refuseByMembers(text) : undefined) ?? text;
}

/** @param text as `readRequestText` has checked it */
export function parseEnvelope(text: string): Envelope {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    const message = `The body is not valid JSON: ${errorMessage(error)}`;
    return { id: null, error: { code: A2A_ERROR_CODE.PARSE_ERROR, message } };
  }
  if (Array.isArray(body)) return invalid(null, batchText);
  if (!isObject(body)) return invalid(null, 'The body must be a JSON-RPC 2.0 request object');
  const { jsonrpc, method } = body;
  const params = body['params'] ?? {};
  const id = readId(body['id'], text);
  if (id === undefined) {
    return invalid(null, `id must be a string of at most ${maxIdLength} characters, a whole number or null`);
  }
  if (jsonrpc !== '2.0') return invalid(id, 'jsonrpc must be "2.0"');
  if (typeof method !== 'string' || method === '') return invalid(id, 'method must be a non-empty string');
  if (!isObject(params)) {
    const message = 'params must be an object with the fields of the request';
    return { id, error: { code: A2A_ERROR_CODE.INVALID_PARAMS, message } };
  }
  return { id, method, params, notification: !('id' in body), body };
}

/** Returns the refusal of a request that is too large for its method; undefined if its start does not show that. */
export function refuseByHead(bytes: Buffer): RefusedEnvelope | undefined {
  if (startsBatch(bytes)) return invalid(null, batchText);
  const { method, id } = readHead(bytes);
  return isSmallMethod(method) ? invalid(toRefusedId(id), tooLargeText) : undefined;
}

/**
 * Returns the refusal of a request that is too large for its method, which may follow its parameters. If it has several methods, none may
 * be one whose requests are small: the parser decides which of them counts.
 */
function refuseByMembers(text: string): RefusedEnvelope | undefined {
  const read = (json: string): unknown => (json.length > maxScalarChars ? json : parseScalar(json));
  const { method: methods, id: ids } = findMembers(text, 'method', 'id');
  if (!methods.some((json) => isSmallMethod(read(json)))) return undefined;
  return invalid(toRefusedId(read(ids.at(-1) ?? 'null')), tooLargeText);
}

/** Returns the id of a request that is refused without being parsed; null if the id is rounded or not valid. */
function toRefusedId(id: unknown): RpcId {
  const isRounded = typeof id === 'number' && !Number.isSafeInteger(id);
  return isRounded ? null : (readId(id, '') ?? null);
}

function invalid(id: RpcId, message: string): RefusedEnvelope {
  return { id, error: { code: A2A_ERROR_CODE.INVALID_REQUEST, message } };
}

/** Returns the id that the answer repeats; undefined if it is not valid. */
function readId(id: unknown, text: string): RpcId | undefined {
  if (id === null || id === undefined) return null;
  if (typeof id === 'string') return id.length <= maxIdLength ? id : undefined;
  if (typeof id !== 'number' || !Number.isInteger(id)) return undefined;
  return Number.isSafeInteger(id) ? id : readExactId(text);
}

/** The API of ECMAScript for numbers that JavaScript rounds: TypeScript has no types for it. */
const exactJson = JSON as unknown as {
  parse(
    text: string,
    reviver: (this: object, key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): object;
};

/** Returns the number that `id` has in the text. */
function readExactId(text: string): object | undefined {
  const sources = new WeakMap<object, string>();
  let source: string | undefined;
  exactJson.parse(text, function (key, value, context) {
    if (key === 'id' && context.source !== undefined) sources.set(this, context.source);
    // The root comes last.
    if (key === '') source = sources.get(value as object);
    return value;
  });
  return source !== undefined && source.length <= maxIdLength ? exactJson.rawJSON(source) : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The outcome of a method: one result, or a stream of results. */
export type RpcResponse =
  | { kind: 'result'; result: Promise<unknown> }
  | { kind: 'stream'; payloads: AsyncGenerator<unknown, void, undefined> };

/** Runs the methods of one protocol version. Throws the errors of operations, or an `RpcFailure`. */
export type Methods = (request: RpcRequest, context: ServerCallContext) => RpcResponse;

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
 * A server error of JSON-RPC 2.0 (section 5.1): neither JSON-RPC nor A2A has a code for credentials that are missing or
 * do not permit the call.
 */
const credentialsCode = -32000;

/** An error about the credentials of the caller, whose HTTP status says which. */
export function isAboutCredentials(error: unknown): error is UnauthenticatedError | ForbiddenError {
  return error instanceof UnauthenticatedError || error instanceof ForbiddenError;
}

export function toRpcError(error: Error): RpcError {
  if (error instanceof RpcFailure) return error.rpc;
  const { message } = error;
  if (isAboutCredentials(error)) return { code: credentialsCode, message };
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
