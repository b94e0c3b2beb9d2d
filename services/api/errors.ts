/**
 * From what goes wrong inside to what clients are told. Errors of the protocol pass as they are; the database being
 * away is said so, as something to try again; anything else is logged and told as "internal error" and no more.
 */
import { A2AError } from '@a2a-js/sdk/errors';
import { messageOf, type Logger } from '#shared/runtime/log.ts';

/** The service cannot answer now and can soon: HTTP 503 with `Retry-After`. */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError';
  readonly retryAfterSeconds = 2;
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
  if (error instanceof UnavailableError) return error;
  if (isDatabaseAway(error)) {
    log.warn({ error: messageOf(error) }, 'the database is away');
    return new UnavailableError('The service is not available for the moment. Try again in a few seconds.');
  }
  log.error({ err: error }, 'an operation failed');
  return new Error('Internal error');
}

const awayCodes = /^(08...|53...|57P0[1-5]|ECONNREFUSED|ECONNRESET|ENOTFOUND|EPIPE|ETIMEDOUT|EAI_AGAIN)$/;

/** Connection failures of pg: SQLSTATE classes 08 and 53, shutdowns, and what the socket says. */
function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string') return awayCodes.test(code);
  return /Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client was closed|Connection ended/i.test(
    error.message,
  );
}
