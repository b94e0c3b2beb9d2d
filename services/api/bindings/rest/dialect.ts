/** What the versions of the HTTP+JSON binding do differently, and how 1.0 does it. */
import { A2A_CONTENT_TYPE } from '@a2a-js/sdk';
import { A2AError, restStatusFor, toRestErrorBody } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler } from '@a2a-js/sdk/server';
import { RetryLaterError } from '../../handler/errors.ts';
import { createOperations, type Operations, type UnaryName } from '../../handler/operations.ts';

export interface RestDialect extends Operations {
  version: '0.3' | '1.0';
  contentType: string;
  /** The status of success. */
  statusOf(operation: UnaryName): number;
  errorBody(error: unknown, status: number): unknown;
}

export function createDialect(handler: A2ARequestHandler): RestDialect {
  return {
    ...createOperations(handler),
    version: '1.0',
    contentType: A2A_CONTENT_TYPE,
    statusOf: (operation) => (operation === 'DeleteTaskPushNotificationConfig' ? 204 : 200),
    errorBody: statusBody,
  };
}

export function toHttpStatus(error: unknown): number {
  return error instanceof RetryLaterError ? error.statusCode : restStatusFor(error);
}

/** google.rpc.Code of what HTTP has a status for and A2A no error. */
const codes: Readonly<Record<number, string>> = {
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  503: 'UNAVAILABLE',
};

/** google.rpc.Status as JSON (section 11.6). */
export function statusBody(error: unknown, status: number): unknown {
  const body = toRestErrorBody(error, status);
  if (error instanceof A2AError) return body;
  const code = codes[status] ?? (status < 500 ? 'INVALID_ARGUMENT' : 'INTERNAL');
  return { error: { ...body.error, status: code } };
}
