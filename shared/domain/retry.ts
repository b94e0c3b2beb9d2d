/**
 * Determines when a failed webhook is attempted again. Pure: the caller passes in randomness and the time.
 *
 * A schedule lists the seconds before each attempt. The first entry is 0. No attempt is earlier than the
 * schedule says or the receiver asks. Jitter only adds to the wait, so that receivers that failed together
 * are not all called together again.
 */

/** Jitter adds at most this part of the wait. */
const jitter = 0.2;

const maxRetryAfterSeconds = 86_400;

export interface Failure {
  /** Attempts that failed, including this one. */
  failures: number;
  /** How long the receiver asked to wait. */
  retryAfterSeconds?: number | undefined;
}

/**
 * Returns the seconds from a failed attempt to the next, or undefined if the schedule is used up.
 *
 * @param random a number from 0 to 1; the jitter is longest with 1
 */
export function nextAttemptSeconds(
  schedule: readonly number[],
  failure: Failure,
  random: number,
): number | undefined {
  const planned = schedule[failure.failures];
  if (planned === undefined) return undefined;
  return Math.max(planned, failure.retryAfterSeconds ?? 0) * (1 + jitter * random);
}

/**
 * Parses a `Retry-After` header (RFC 9110, section 10.2.3): delay-seconds, or an HTTP-date in any of its
 * three formats. Fractions of a second, which the RFC does not allow but servers send, are accepted and
 * rounded up. A date in the past is 0.
 *
 * @param now milliseconds since 1970
 * @returns whole seconds from 0 to one day (longer waits are cut to that), or undefined for anything else,
 * such as a negative number
 */
export function parseRetryAfter(header: string | null | undefined, now: number): number | undefined {
  const value = header?.trim() ?? '';
  const date = /^\d+(\.\d+)?$/.test(value) ? undefined : parseHttpDate(value, now);
  const seconds = date === undefined ? Number(value) : (date - now) / 1000;
  if (value === '' || Number.isNaN(seconds)) return undefined;
  return Math.min(Math.max(Math.ceil(seconds), 0), maxRetryAfterSeconds);
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const time = '(?<hour>[01]\\d|2[0-3]):(?<minute>[0-5]\\d):(?<second>[0-5]\\d|60)';
const month = `(?<month>${months.join('|')})`;

/** RFC 9110, section 5.6.7: IMF-fixdate, and the obsolete formats of RFC 850 and of asctime. */
const httpDates = [
  `^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\\d\\d) ${month} (?<year>\\d{4}) ${time} GMT$`,
  `^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\\d\\d)-${month}-(?<year>\\d\\d) ${time} GMT$`,
  `^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ${month} (?<day>\\d\\d| \\d) ${time} (?<year>\\d{4})$`,
].map((pattern) => new RegExp(pattern));

/** @returns milliseconds since 1970, or NaN */
function parseHttpDate(text: string, now: number): number {
  const groups = httpDates.map((pattern) => pattern.exec(text)?.groups).find((match) => match !== undefined);
  if (groups === undefined) return NaN;
  const { year = '', month = '', day = '', hour = '', minute = '', second = '' } = groups;
  const at = (fullYear: number): number =>
    Date.UTC(fullYear, months.indexOf(month), Number(day), Number(hour), Number(minute), Number(second));
  if (year.length === 4) return at(Number(year));
  // A two-digit year that would be more than 50 years ahead is in the past.
  const thisYear = new Date(now).getUTCFullYear();
  const fullYear = thisYear - (thisYear % 100) + Number(year);
  return at(fullYear > thisYear + 50 ? fullYear - 100 : fullYear);
}
