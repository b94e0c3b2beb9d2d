/** Errors of the gRPC binding: the status of each shows whether to retry. */
import { Metadata, status as Status } from '@grpc/grpc-js';
import { A2AError } from '@a2a-js/sdk/errors';
import type { Logger } from '#shared/runtime/log.ts';
import { ForbiddenError, UnauthenticatedError } from '../../auth/errors.ts';
import { RetryLaterError, toClientError } from '../../handler/errors.ts';

/** An error of gRPC itself, in the form in which the SDK's services accept a status. */
class GrpcStatusError extends A2AError {
  readonly transport = 'grpc';
  readonly status: Status;

  constructor(status: Status, message: string) {
    super(message);
    this.status = status;
    this.name = 'A2AError';
  }
}

/** Returns the status of an error that is not one of A2A; undefined for those. */
function toOwnStatus(failure: Error): Status | undefined {
  if (failure instanceof A2AError) return undefined;
  if (failure instanceof UnauthenticatedError) return Status.UNAUTHENTICATED;
  if (failure instanceof ForbiddenError) return Status.PERMISSION_DENIED;
  if (!(failure instanceof RetryLaterError)) return Status.INTERNAL;
  return failure.statusCode === 503 ? Status.UNAVAILABLE : Status.RESOURCE_EXHAUSTED;
}

export function toGrpcError(log: Logger, error: unknown): Error {
  const failure = toClientError(log, error);
  const status = toOwnStatus(failure);
  return status === undefined ? failure : new GrpcStatusError(status, failure.message);
}

/**
 * Returns the status that refuses a call before it reaches a service. Its metadata has `retry-after`, in seconds, if the
 * call may be repeated.
 */
export function toStatus(log: Logger, error: unknown): { code: Status; details: string; metadata: Metadata } {
  const failure = toClientError(log, error);
  const metadata = new Metadata();
  setRetryAfter(metadata, failure);
  return { code: toOwnStatus(failure) ?? Status.INTERNAL, details: failure.message, metadata };
}

/** Adds `retry-after`, as the header of the same name over HTTP. */
export function setRetryAfter(metadata: Metadata, error: unknown): void {
  if (error instanceof RetryLaterError) metadata.set('retry-after', String(error.retryAfterSeconds));
}
