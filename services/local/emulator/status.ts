/** Errors that the emulators return to their clients: a gRPC status code and a message. */
import { status } from '@grpc/grpc-js';

export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly code: status;
  /** grpc-js sends this to the client. */
  readonly details: string;
  constructor(code: status, details: string) {
    super(details);
    this.code = code;
    this.details = details;
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

export function failedPrecondition(details: string): StatusError {
  return new StatusError(status.FAILED_PRECONDITION, details);
}

/** Refuses a feature that the real service has and the emulator lacks. */
export function unimplemented(feature: string): StatusError {
  return new StatusError(status.UNIMPLEMENTED, `This emulator does not support ${feature}.`);
}
