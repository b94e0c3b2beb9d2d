/**
 * From what goes wrong inside to what clients are told. Errors of the protocol pass as they are; the database being
 * away is said so, as something to try again; anything else is logged and told as "internal error" and no more.
 */
import { A2AError } from '@a2a-js/sdk/errors';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';

/** What cannot be answered now and can soon: an HTTP status with `Retry-After`. The message is for clients. */
export abstract class RetryLaterError extends Error {
  abstract readonly statusCode: 429 | 503;
  abstract readonly retryAfterSeconds: number;
}

/** The service, or something that it needs, is away. */
export class UnavailableError extends RetryLaterError {
  override readonly name = 'UnavailableError';
  static readonly text = 'The service is not available for the moment. Try again in a few seconds.';
  readonly statusCode = 503;
  readonly retryAfterSeconds = 2;

  constructor(message: string = UnavailableError.text, options?: ErrorOptions) {
    super(message, options);
  }
}

/** What went wrong is ours, logged, and not for clients. */
export class InternalError extends Error {
  override readonly name = 'InternalError';
  static readonly text = 'Internal error';

  constructor() {
    super(InternalError.text);
  }
}

/** A caller has used what it may use for now. */
export class TooManyRequestsError extends RetryLaterError {
  override readonly name = 'TooManyRequestsError';
  readonly statusCode = 429;
  readonly retryAfterSeconds: number;
  constructor(message: string, retryAfterSeconds: number) {
    super(message);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** Runs an operation and turns whatever it throws into an error that may leave the house. */
export async function answered<T>(log: Logger, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw toClientError(log, error);
  }
}

export function toClientError(log: Logger, error: unknown): Error {
  if (error instanceof A2AError) return error;
  if (error instanceof RetryLaterError || error instanceof InternalError) return error;
  if (isDatabaseAway(error)) {
    log.warn({ error: errorMessage(error) }, 'the database is away');
    return new UnavailableError();
  }
  log.error({ err: error }, 'an operation failed');
  return new InternalError();
}

const awayCodes = /^(08...|53...|57P0[1-5]|ECONNREFUSED|ECONNRESET|ENOTFOUND|EPIPE|ETIMEDOUT|EAI_AGAIN)$/;

/** Connection failures of pg: SQLSTATE classes 08 and 53, shutdowns, and what the socket says. */
function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string') return awayCodes.test(code);
  return /Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client was closed|Connection ended|not queryable/i.test(
    error.message,
  );
}
