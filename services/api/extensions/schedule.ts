/**
 * The schedule extension: the time at which a task may start, and its deadline. Clients send both in the metadata of the
 * SendMessage that creates the task, under the URI of the extension:
 *
 * ```json
 * { "https://longhaul.dev/ext/schedule/v1": { "startAt": "2026-12-01T06:00:00Z", "deadline": "2026-12-01T08:00:00Z" } }
 * ```
 */
import { RequestMalformedError } from '@a2a-js/sdk/errors';

export const scheduleExtension = 'https://longhaul.dev/ext/schedule/v1';

/** Latest allowed start and deadline, in days from now. */
const maxDays = 365;

export interface Schedule {
  /** ISO 8601; null: immediately. */
  startAt: string | null;
  /** ISO 8601; null: none. */
  deadlineAt: string | null;
}

/**
 * @param now milliseconds since 1970
 * @param taskSeconds time from start to deadline if the client sets no deadline; undefined: none
 * @throws {RequestMalformedError} for an invalid time, a time more than 365 days ahead, or a deadline that is
 *   not after both now and the start
 */
export function readSchedule(
  metadata: Record<string, unknown> | undefined,
  now: number,
  taskSeconds: number | undefined,
): Schedule {
  const { startAt, deadlineAt } = parseSchedule(metadata?.[scheduleExtension], now);
  const limit = taskSeconds === undefined ? null : new Date((startAt?.getTime() ?? now) + taskSeconds * 1000);
  return {
    startAt: startAt?.toISOString() ?? null,
    deadlineAt: (deadlineAt ?? limit)?.toISOString() ?? null,
  };
}

function parseSchedule(requested: unknown, now: number): { startAt: Date | null; deadlineAt: Date | null } {
  if (requested === undefined) return { startAt: null, deadlineAt: null };
  if (typeof requested !== 'object' || requested === null) {
    throw new RequestMalformedError(
      `metadata["${scheduleExtension}"] must be an object with startAt or deadline`,
    );
  }
  const { startAt: start, deadline, ...others } = requested as Record<string, unknown>;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new RequestMalformedError(
      `the schedule has an unknown field "${unknown}": use startAt and deadline`,
    );
  }
  const startAt = parseTime('startAt', start, now);
  const deadlineAt = parseTime('deadline', deadline, now);
  if (deadlineAt !== null && deadlineAt.getTime() <= Math.max(now, startAt?.getTime() ?? now)) {
    throw new RequestMalformedError('the deadline must be after now and after startAt');
  }
  return { startAt, deadlineAt };
}

function parseTime(name: string, value: unknown, now: number): Date | null {
  if (value === undefined) return null;
  const time = typeof value === 'string' ? new Date(value) : undefined;
  if (time === undefined || Number.isNaN(time.getTime())) {
    throw new RequestMalformedError(`${name} must be an ISO 8601 time such as 2026-12-01T06:00:00Z`);
  }
  if (time.getTime() > now + maxDays * 86_400_000) {
    throw new RequestMalformedError(`${name} must be at most ${maxDays} days ahead`);
  }
  return time;
}
