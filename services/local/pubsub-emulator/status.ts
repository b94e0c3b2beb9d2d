/** A refusal that the caller is told: a gRPC status code and a sentence that names what was wrong. */
import { status } from '@grpc/grpc-js';

export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly code: status;
  /** What grpc-js sends to the caller. */
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

/** The real service names the last part of the resource's name. */
export function notFound(name: string): StatusError {
  return new StatusError(status.NOT_FOUND, `Resource not found (resource=${name.split('/').at(-1)}).`);
}

export function alreadyExists(name: string): StatusError {
  const id = name.split('/').at(-1);
  return new StatusError(status.ALREADY_EXISTS, `Resource already exists in the project (resource=${id}).`);
}

/** What the real service does and this stand-in does not: said rather than pretended. */
export function unimplemented(feature: string): StatusError {
  return new StatusError(status.UNIMPLEMENTED, `The local Pub/Sub emulator does not support ${feature}.`);
}

export function failedPrecondition(details: string): StatusError {
  return new StatusError(status.FAILED_PRECONDITION, details);
}
