/**
 * Maps internal errors to those that clients see. Errors of the protocol pass unchanged, an unavailable
 * database becomes a retryable error, and everything else is logged and becomes "Internal error".
 */
import { A2AError } from '@a2a-js/sdk/errors';
import { isPassing } from '#shared/db/client/errors.ts';
import { TooManyWebhookRequestsError } from '#shared/db/webhooks/requests.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { ForbiddenError, UnauthenticatedError } from '../auth/errors.ts';
import { countRefusal } from '../limits/refusals.ts';

/** A temporary failure: HTTP 429 or 503 with `Retry-After`. The message is for clients. */
export abstract class RetryLaterError extends Error {
  abstract readonly statusCode: 429 | 503;
  /** If the time is not known, when it makes sense to look. */
  abstract readonly retryAfterSeconds: number;
  /** Details in the JSON form of google.rpc (A2A sections 9.5 and 11.6). */
  readonly details: readonly object[] = [];
}

/** The service, or a dependency of it, is unavailable: HTTP 503. */
export class UnavailableError extends RetryLaterError {
  override readonly name = 'UnavailableError';
  static readonly text = 'The service is temporarily unavailable. Try again in a few seconds.';
  readonly statusCode = 503;
  readonly retryAfterSeconds = 2;

  constructor(message: string = UnavailableError.text, options?: ErrorOptions) {
    super(message, options);
  }
}

/** A credential cannot be verified because of what it is, as far as is known: HTTP 503. Counts as a failed authentication. */
export class UnverifiableCredentialError extends UnavailableError {}

/** A caller has reached a limit: HTTP 429. */
export class TooManyRequestsError extends RetryLaterError {
  override readonly name = 'TooManyRequestsError';
  readonly statusCode = 429;
  readonly retryAfterSeconds: number;
  constructor(message: string, retryAfterSeconds: number) {
    // Capturing a stack takes ten times as long as the rest of the error, and floods are refused with it.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/**
 * A request that fails before it reaches an operation, such as an unknown path. The message is for clients.
 */
export class HttpRequestError extends Error {
  override readonly name = 'HttpRequestError';
  readonly statusCode: number;
  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

/** An internal failure that is already logged. Its details are not for clients. */
export class InternalError extends Error {
  override readonly name = 'InternalError';
  static readonly text = 'Internal error';

  constructor() {
    super(InternalError.text);
  }
}

/** Runs an operation and maps its errors by `toClientError`. */
export async function withClientErrors<T>(log: Logger, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw toClientError(log, error);
  }
}

/** Returns an error whose message may be sent to clients. Logs the original if that hides it. */
export function toClientError(log: Logger, error: unknown): Error {
  if (isForClients(error)) return error;
  if (error instanceof TooManyWebhookRequestsError) {
    const { owner, perMinute, retryAfterSeconds } = error;
    countRefusal('webhook_requests', owner);
    return new TooManyRequestsError(
      `Too many requests for webhooks: an owner may have ${perMinute} in a minute, half of them at once. Try again in ${retryAfterSeconds} s`,
      retryAfterSeconds,
    );
  }
  if (isPassing(error)) {
    log.debug({ error: errorMessage(error) }, 'database unavailable');
    return new UnavailableError();
  }
  log.error({ err: error }, 'request failed');
  return new InternalError();
}

/** Whether a call failed by the rules, and not by a fault of the service. */
export function isRefusal(error: unknown): boolean {
  if (error instanceof RetryLaterError) return error.statusCode === 429;
  return (
    error instanceof TooManyWebhookRequestsError || (isForClients(error) && !(error instanceof InternalError))
  );
}

function isForClients(error: unknown): error is Error {
  return (
    error instanceof A2AError ||
    error instanceof RetryLaterError ||
    error instanceof UnauthenticatedError ||
    error instanceof ForbiddenError ||
    error instanceof HttpRequestError ||
    error instanceof InternalError
  );
}
