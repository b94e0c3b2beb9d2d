/** How long to wait before another attempt. Pure: randomness comes in. */

export interface BackoffPolicy {
  /** The longest wait before the second attempt; doubled for each further one. Default: 1. */
  firstSeconds?: number;
  /** Default: 60. */
  longestSeconds?: number;
}

/**
 * The delay before attempt `attempt + 1`, in seconds: 1, 2, 4 … up to a minute unless told otherwise, of which the last
 * half is random, so that what failed together is not tried together.
 *
 * @param attempt how many attempts have failed, from 1
 * @param random a number in [0, 1)
 */
export function backoffSeconds(
  attempt: number,
  random: number,
  { firstSeconds = 1, longestSeconds = 60 }: BackoffPolicy = {},
): number {
  const full = Math.min(longestSeconds, firstSeconds * 2 ** (Math.max(1, attempt) - 1));
  return full / 2 + (full / 2) * random;
}
