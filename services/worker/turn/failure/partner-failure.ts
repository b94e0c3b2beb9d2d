/**
 * Decides when a turn runs again after its agent has thrown an error. Mostly a partner has failed: a tool, a
 * file server, an API. Such errors are waited for until `limits.outageSeconds`, and at least `MAX_ATTEMPTS`
 * times. A programming error does not pass by itself, and the timeout of a step has taken its time, so these
 * spend an attempt, like a crash.
 */
import { backoffSeconds, getLongestOutageDelay } from '#shared/domain/backoff.ts';
import { RetryableError } from '#shared/domain/errors.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { StepTimeoutError } from '../step-policy.ts';

export interface PartnerFailures {
  /** Failures in a row, including this one. */
  failures: number;
  /** Seconds since the first of them. */
  failingSeconds: number;
  outageSeconds: number;
  maxAttempts: number;
}

/** Network errors of fetch are TypeErrors with a cause. */
export function spendsAttempt(error: unknown): boolean {
  if (error instanceof StepTimeoutError) return true;
  if (error instanceof TypeError) return error.cause === undefined && error.message !== 'fetch failed';
  return error instanceof ReferenceError || error instanceof RangeError || error instanceof SyntaxError;
}

/**
 * Returns the delay before the next run, in seconds: 1, 2, 4 … up to 20 and later a twelfth of the outage, and not past
 * the end of the window.
 * Undefined: the task fails.
 *
 * @param random a number from 0 to 1; the delay is longest with 1
 */
export function getPartnerDelaySeconds(
  { failures, failingSeconds, outageSeconds, maxAttempts }: PartnerFailures,
  random: number,
): number | undefined {
  const leftSeconds = outageSeconds - failingSeconds;
  if (failures >= maxAttempts && leftSeconds <= 0) return undefined;
  const longestSeconds = getLongestOutageDelay(failingSeconds);
  const delaySeconds = backoffSeconds(failures, random, { longestSeconds });
  return leftSeconds <= 0 ? delaySeconds : Math.max(1, Math.min(delaySeconds, leftSeconds));
}

/** A failure after this time is reported at once. */
const slowSeconds = 10;

/**
 * Returns whether the status of the task is to say that it waits. Not after the first quick failures, because most
 * pass within seconds; later only if something else has replaced the message.
 *
 * @param attempt the duration of the failed attempt, and whether it has written a status itself
 */
export function isReported(
  { failures, failingSeconds, maxAttempts }: Omit<PartnerFailures, 'outageSeconds'>,
  attempt: { seconds: number; wroteStatus: boolean },
): boolean {
  if (failures < maxAttempts) return failingSeconds + attempt.seconds >= slowSeconds;
  return failures === maxAttempts || attempt.wroteStatus;
}

/** Returns the message of an error for clients. The causes of a RetryableError are for operators. */
export function toClientMessage(error: unknown): string {
  return error instanceof RetryableError ? error.message : errorMessage(error);
}
