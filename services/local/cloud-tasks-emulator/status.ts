/** An error that the client is told: a gRPC status and what was wrong. */
import { status } from '@grpc/grpc-js';

export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly code: status;
  constructor(code: status, details: string) {
    super(details);
    this.code = code;
  }
}

export function invalid(details: string): StatusError {
  return new StatusError(status.INVALID_ARGUMENT, details);
}

export function notFound(details: string): StatusError {
  return new StatusError(status.NOT_FOUND, details);
}

export function alreadyExists(details: string): StatusError {
  return new StatusError(status.ALREADY_EXISTS, details);
}
