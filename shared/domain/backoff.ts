/** How long to wait before another attempt. Pure: randomness comes in. */

/**
 * The delay before attempt `attempt + 1` of a turn, in seconds: 1, 2, 4 … up to a minute, of which the last half is
 * random, so that what failed together is not tried together.
 *
 * @param attempt how many attempts have failed, from 1
 * @param random a number in [0, 1)
 */
export function turnBackoffSeconds(attempt: number, random: number): number {
  const full = Math.min(60, 2 ** (Math.max(1, attempt) - 1));
  return full / 2 + (full / 2) * random;
}
