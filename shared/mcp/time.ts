/** The times that tools take: as the command line, a time or an age. */
import { databaseNow } from '../runtime/clock.ts';
import { ToolError } from './errors.ts';

export const sinceHint = 'A time such as 2030-01-31T08:00:00Z, or an age such as 10m, 2h or 1d.';

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Returns the time in ISO 8601.
 *
 * @throws {ToolError} if the text is neither
 */
export function parseSince(text: string): string {
  const [, count, unit] = /^(\d{1,6})(s|m|h|d)$/.exec(text) ?? [];
  if (count !== undefined) {
    const ms = Number(count) * unitMs[unit as keyof typeof unitMs];
    return new Date(Math.max(0, databaseNow() - ms)).toISOString();
  }
  const time = /^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:?\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) {
    throw new ToolError(
      `since must be a time such as 2030-01-31T08:00:00Z, or an age such as 10m, not "${text.slice(0, 40)}".`,
    );
  }
  return new Date(time).toISOString();
}
