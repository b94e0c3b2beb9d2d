/** Decides when a failed call of the model is retried: soon in place, or later with the task parked. Pure. */
import { backoffSeconds } from '#shared/domain/backoff.ts';

export interface ModelBackoff {
  /** Calls in place, including the first. */
  calls: number;
  /** The longest wait before the second call, in milliseconds. It doubles for each further call. */
  firstMs: number;
  /** The task is parked, without further calls, if the server asks for a longer wait than this. */
  longestInPlaceMs: number;
}

export const defaultModelBackoff: ModelBackoff = { calls: 4, firstMs: 400, longestInPlaceMs: 4000 };

/**
 * Returns the milliseconds to wait in place before the next call, or undefined if the task should be parked.
 *
 * @param attempt how many calls have failed, from 1
 * @param retryAfterMs the wait that the server requests; undefined: none
 * @param random a number in [0, 1)
 */
export function getInPlaceDelayMs(
  { calls, firstMs, longestInPlaceMs }: ModelBackoff,
  attempt: number,
  retryAfterMs: number | undefined,
  random: number,
): number | undefined {
  if (attempt >= calls) return undefined;
  const policy = { firstSeconds: firstMs / 1000, longestSeconds: Infinity };
  const ownMs = 1000 * backoffSeconds(attempt, random, policy);
  // Jitter spreads callers that got the same wait.
  const waitMs = Math.max(ownMs, (retryAfterMs ?? 0) * (1 + random / 4));
  return waitMs <= longestInPlaceMs ? waitMs : undefined;
}

const shortestParkMs = 5000;
const longestParkMs = 15 * 60_000;
const defaultParkMs = 20_000;

/**
 * Limits the wait that a model requests, during which no worker calls it, to 15 minutes. Returns 0 if the model
 * requested none.
 */
export function capRetryAfterMs(retryAfterMs: number | undefined): number {
  return Math.min(longestParkMs, retryAfterMs ?? 0);
}

/**
 * Returns the milliseconds to park a task: the requested wait, but from 5 s to 15 minutes; by default about
 * 20 s.
 */
export function getParkDelayMs(retryAfterMs: number | undefined, random: number): number {
  const desiredMs = (retryAfterMs ?? defaultParkMs) * (1 + random / 4);
  return Math.min(longestParkMs, Math.max(shortestParkMs, desiredMs));
}
