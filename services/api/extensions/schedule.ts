/**
 * The schedule extension: when a task may begin, and when it is overdue. It travels in the metadata of a SendMessage
 * that begins a task, under the extension's URI:
 *
 * ```json
 * { "https://longhaul.dev/ext/schedule/v1": { "startAt": "2026-12-01T06:00:00Z", "deadline": "2026-12-01T08:00:00Z" } }
 * ```
 */
import { RequestMalformedError } from '@a2a-js/sdk/errors';

export const scheduleExtension = 'https://longhaul.dev/ext/schedule/v1';

/** The furthest that a task may be put off. */
const furthestDays = 365;

export interface Schedule {
  /** ISO 8601; null: at once, and never. */
  startAt: string | null;
  deadlineAt: string | null;
}

/**
 * @param now milliseconds since 1970
 * @param taskSeconds from the start to the deadline of a task that is given none
 * @throws {RequestMalformedError} for what is not a time, or a deadline that has passed or comes before the start
 */
export function readSchedule(
  metadata: Record<string, unknown> | undefined,
  now: number,
  taskSeconds: number | undefined,
): Schedule {
  const { startAt, deadlineAt } = readAsked(metadata?.[scheduleExtension], now);
  const limit = taskSeconds === undefined ? null : new Date((startAt?.getTime() ?? now) + taskSeconds * 1000);
  return {
    startAt: startAt?.toISOString() ?? null,
    deadlineAt: (deadlineAt ?? limit)?.toISOString() ?? null,
  };
}

function readAsked(asked: unknown, now: number): { startAt: Date | null; deadlineAt: Date | null } {
  if (asked === undefined) return { startAt: null, deadlineAt: null };
  if (typeof asked !== 'object' || asked === null) {
    throw new RequestMalformedError(
      `metadata["${scheduleExtension}"] must be an object with startAt or deadline`,
    );
  }
  const { startAt: start, deadline, ...others } = asked as Record<string, unknown>;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new RequestMalformedError(`the schedule has a field "${unknown}"; it knows startAt and deadline`);
  }
  const startAt = readTime('startAt', start, now);
  const deadlineAt = readTime('deadline', deadline, now);
  if (deadlineAt !== null && deadlineAt.getTime() <= Math.max(now, startAt?.getTime() ?? now)) {
    throw new RequestMalformedError('the deadline must be after now and after startAt');
  }
  return { startAt, deadlineAt };
}

function readTime(name: string, value: unknown, now: number): Date | null {
  if (value === undefined) return null;
  const time = typeof value === 'string' ? new Date(value) : undefined;
  if (time === undefined || Number.isNaN(time.getTime())) {
    throw new RequestMalformedError(`${name} must be an ISO 8601 time such as 2026-12-01T06:00:00Z`);
  }
  if (time.getTime() > now + furthestDays * 86_400_000) {
    throw new RequestMalformedError(`${name} is more than ${furthestDays} days ahead`);
  }
  return time;
}
