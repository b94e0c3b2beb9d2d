/** Exponential backoff with jitter. Pure: the caller passes in randomness. */

export interface BackoffPolicy {
  /** Upper bound of the delay before the second attempt. It doubles with each further attempt. Default: 1. */
  firstSeconds?: number;
  /** Upper bound of any delay. Default: 60. */
  longestSeconds?: number;
}

/**
 * Returns the longest delay between two attempts in an outage, in seconds: a twelfth of its duration so far, from 20
 * s to 5 minutes. The recovery then takes little in comparison, and an outage of an hour costs about 60 attempts.
 *
 * @param outageSeconds duration of the outage so far
 */
export function getLongestOutageDelay(outageSeconds: number): number {
  return Math.min(300, Math.max(20, outageSeconds / 12));
}

/**
 * Returns the delay before attempt `attempt + 1`, in seconds: by default 1, 2, 4 … up to 60. The second half
 * of the delay is random, so that attempts that failed together are not retried together.
 *
 * @param attempt number of failed attempts, from 1
 * @param random a number from 0 to 1; the delay is longest with 1
 */
export function backoffSeconds(
  attempt: number,
  random: number,
  { firstSeconds = 1, longestSeconds = 60 }: BackoffPolicy = {},
): number {
  const full = Math.min(longestSeconds, firstSeconds * 2 ** (Math.max(1, attempt) - 1));
  return full / 2 + (full / 2) * random;
}
