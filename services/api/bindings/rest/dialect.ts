/** The differences between the versions of the HTTP+JSON binding, and the dialect of A2A 1.0. */
import { A2A_CONTENT_TYPE } from '@a2a-js/sdk';
import { A2AError, toRestErrorBody } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler } from '@a2a-js/sdk/server';
import type { FastifyRequest } from 'fastify';
import { RetryLaterError } from '../../handler/errors.ts';
import { createOperations, type Operations, type UnaryName } from '../../handler/operations.ts';
import type { FailureFormat } from '../../http/failure.ts';

/** `contentType` applies to all responses. */
export interface RestDialect extends Operations, FailureFormat {
  version: '0.3' | '1.0';
  /** Returns the HTTP status of a successful call. */
  getSuccessStatus(operation: UnaryName): number;
}

/** google.rpc.Status as JSON (section 11.6). */
export const statusFailure: FailureFormat = { contentType: A2A_CONTENT_TYPE, toBody: toStatusBody };

/** The same for routes outside the bindings. */
export const jsonStatusFailure: FailureFormat = { contentType: 'application/json', toBody: toStatusBody };

export function createDialect(handler: A2ARequestHandler): RestDialect {
  return {
    ...createOperations(handler),
    ...statusFailure,
    version: '1.0',
    getSuccessStatus: () => 200,
  };
}

/**
 * Returns the media type of the JSON in an answer of 1.0: `application/json` for clients that accept it and do not name
 * the type of A2A (section 11.1). Some read errors only of that type.
 */
export function negotiateType({ headers }: FastifyRequest): string {
  const { accept = '' } = headers;
  return /(?:^|,)\s*application\/json\s*(?:[;,]|$)/i.test(accept) &&
    !accept.toLowerCase().includes(A2A_CONTENT_TYPE)
    ? 'application/json'
    : A2A_CONTENT_TYPE;
}

/** The google.rpc.Code of each HTTP status that has no A2A error. */
const codes: Readonly<Record<number, string>> = {
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  503: 'UNAVAILABLE',
};

function toStatusBody(error: Error, status: number): unknown {
  const body = toRestErrorBody(error, status);
  if (error instanceof A2AError) return body;
  const code = codes[status] ?? (status < 500 ? 'INVALID_ARGUMENT' : 'INTERNAL');
  const { details } = error instanceof RetryLaterError ? error : body.error;
  return { error: { ...body.error, status: code, details } };
}
