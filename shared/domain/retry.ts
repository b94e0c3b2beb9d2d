/**
 * When a webhook that failed is tried again. Pure: chance and time are passed in.
 *
 * A schedule lists the seconds to wait before each attempt; the first entry is 0. An attempt is never earlier than the
 * schedule says, nor than the receiver asks: chance only adds, so that receivers that failed together are not all
 * called again together.
 */

/** Chance adds up to this part of the wait. */
const jitter = 0.2;

const longestRetryAfterSeconds = 86_400;

export interface Failure {
  /** How many attempts in a row have failed, this one included. */
  failures: number;
  /** What the receiver asked for, in seconds, where it did. */
  retryAfterSeconds?: number | undefined;
}

/**
 * The seconds from a failed attempt to the next, or undefined where the schedule is spent.
 *
 * @param chance from 0 to 1
 */
export function nextAttemptSeconds(
  schedule: readonly number[],
  failure: Failure,
  chance: number,
): number | undefined {
  const planned = schedule[failure.failures];
  if (planned === undefined) return undefined;
  return Math.max(planned, failure.retryAfterSeconds ?? 0) * (1 + jitter * chance);
}

/**
 * Reads a `Retry-After` header (RFC 9110, section 10.2.3), as seconds or as a date, into whole seconds from 1 to one
 * day. What cannot be read counts as absent.
 *
 * @param now milliseconds since 1970
 */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const text = header.trim();
  const seconds = /^\d+$/.test(text) ? Number(text) : (parseHttpDate(text) - now) / 1000;
  if (Number.isNaN(seconds)) return undefined;
  return Math.min(Math.max(Math.ceil(seconds), 1), longestRetryAfterSeconds);
}

/** The one form of date that senders may still make: `Sun, 06 Nov 1994 08:49:37 GMT`. */
function parseHttpDate(text: string): number {
  return /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text)
    ? Date.parse(text)
    : NaN;
}
