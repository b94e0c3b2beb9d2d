/** Answers failed HTTP requests. All routes share it; a binding only supplies the form of the body. */
import { restStatusFor } from '@a2a-js/sdk/errors';
import type { FastifyReply } from 'fastify';
import type { Logger } from '#shared/runtime/log.ts';
import { ForbiddenError, UnauthenticatedError } from '../auth/errors.ts';
import { HttpRequestError, RetryLaterError, toClientError } from '../handler/errors.ts';

/** How a binding writes an error. */
export interface FailureFormat {
  contentType: string;
  toBody(error: Error, status: number): unknown;
  /** Overrides the HTTP status that belongs to the error. */
  toStatus?(error: Error): number;
  /** Overrides the values of `WWW-Authenticate` of the error. */
  toChallenges?(error: UnauthenticatedError): readonly string[];
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The form of errors that occur before the route runs. Default: that of the binding of its path. */
    failure?: FailureFormat;
  }
}

/** The format of routes that belong to no binding. */
export const plainFailure: FailureFormat = {
  contentType: 'application/json',
  toBody: (error) => ({ error: error.message }),
};

/** Sends an error as `toClientError` exposes it, with the headers that belong to it. */
export function sendFailure(
  reply: FastifyReply,
  log: Logger,
  error: unknown,
  format: FailureFormat,
): FastifyReply {
  const failure = toClientError(log, error);
  const status = format.toStatus?.(failure) ?? toHttpStatus(failure);
  if (failure instanceof RetryLaterError) {
    void reply.header('retry-after', String(failure.retryAfterSeconds));
  }
  if (failure instanceof UnauthenticatedError) {
    void reply.header('www-authenticate', format.toChallenges?.(failure) ?? failure.challenges);
  }
  return reply
    .code(status)
    .header('content-type', format.contentType)
    .send(JSON.stringify(format.toBody(failure, status)));
}

export function toHttpStatus(error: Error): number {
  const hasStatus =
    error instanceof RetryLaterError ||
    error instanceof UnauthenticatedError ||
    error instanceof ForbiddenError ||
    error instanceof HttpRequestError;
  return hasStatus ? error.statusCode : restStatusFor(error);
}
