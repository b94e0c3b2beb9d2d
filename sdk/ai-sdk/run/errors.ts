/** Turns errors of the AI SDK into those that decide what happens to the turn. */
import { FatalError, ParkedError } from '#shared/domain/errors.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { Calls } from '../calls.ts';

/** The AI SDK's error of a call over HTTP. */
interface ApiError extends Error {
  statusCode?: number;
  responseHeaders?: Record<string, string>;
}

/** How long a turn is parked if the model does not say. */
const parkSeconds = 30;
const longestParkSeconds = 3600;

/**
 * Returns the error that the turn ends with. A request that the model refuses fails the task; a model without capacity
 * parks the turn; everything else, such as credentials that are not valid, is an outage of the model, which the turn
 * waits for (`limits.outageSeconds`).
 */
export function toTurnError(calls: Calls, error: unknown): unknown {
  if (calls.failure !== undefined) return calls.failure.error;
  const cause = unwrap(calls.modelFailure?.error ?? error);
  if (!(cause instanceof Error)) return cause;
  // The answer is recorded, so another run would fail in the same way.
  if (isInvalidOutput(cause)) {
    return new FatalError('The answer of the model is not the data that it should be.', { cause });
  }
  if (cause.name !== 'AI_APICallError') return cause;
  const { statusCode = 0, responseHeaders = {} } = cause as ApiError;
  if (statusCode === 429 || statusCode === 503 || statusCode === 529) {
    const seconds = readRetryAfter(responseHeaders['retry-after']);
    const until = new Date(databaseNow() + seconds * 1000);
    return new ParkedError('The model has no capacity.', until, { cause });
  }
  const isRefused = statusCode >= 400 && statusCode < 500 && ![401, 403, 408, 409].includes(statusCode);
  return isRefused
    ? new FatalError(`The model refused the call with status ${statusCode}.`, { cause })
    : cause;
}

function isInvalidOutput({ name }: Error): boolean {
  return ['AI_NoObjectGeneratedError', 'AI_JSONParseError', 'AI_TypeValidationError', 'SyntaxError'].includes(
    name,
  );
}

/** The AI SDK wraps the last error of a call that it has retried. */
function unwrap(error: unknown): unknown {
  return error instanceof Error && error.name === 'AI_RetryError' && 'lastError' in error
    ? error.lastError
    : error;
}

/** @param header a number of seconds, or a date (RFC 9110, section 10.2.3) */
function readRetryAfter(header: string | undefined): number {
  if (header === undefined) return parkSeconds;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - databaseNow()) / 1000;
  return Number.isNaN(seconds) ? parkSeconds : Math.min(longestParkSeconds, Math.max(1, seconds));
}
