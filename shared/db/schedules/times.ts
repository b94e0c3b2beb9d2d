/**
 * The due times of schedules. A cron expression means local times of its time zone:
 *
 * - a time that is skipped when clocks go forward is due when they do
 * - a time that is repeated when clocks go back is due once, the first time; expressions that match every hour are
 *   due in both hours
 */
import { Cron } from 'croner';
import type { Rhythm } from '../../domain/schedule.ts';

/** Returns the first due time after `after`; undefined if there is none. */
export function getNextDue(rhythm: Rhythm, after: Date): Date | undefined {
  if ('everySeconds' in rhythm) return new Date(after.getTime() + rhythm.everySeconds * 1000);
  return parseCron(rhythm).nextRun(after) ?? undefined;
}

/** Returns why a cron expression cannot be used, for clients; undefined if it can. */
export function findCronProblem(rhythm: { cron: string; timeZone: string }, now: Date): string | undefined {
  if (!isTimeZone(rhythm.timeZone)) {
    return `timeZone "${rhythm.timeZone}" is not known: use a name of the IANA database, such as Europe/Berlin`;
  }
  // The library also reads dates, and texts of six fields with seconds.
  const fields = rhythm.cron.trim().split(/\s+/);
  if (fields.length !== 5) {
    return `cron must have five fields (minute, hour, day of month, month, day of week), such as "0 9 * * 1-5"`;
  }
  let next: Date | undefined;
  try {
    next = getNextDue(rhythm, now);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : 'it cannot be read';
    return `cron "${rhythm.cron}" is not valid: ${reason}`;
  }
  return next === undefined ? `cron "${rhythm.cron}" is never due: name a date that exists` : undefined;
}

function parseCron({ cron, timeZone }: { cron: string; timeZone: string }): Cron {
  return new Cron(cron, { timezone: timeZone, paused: true, mode: '5-part' });
}

/** Names only: a fixed offset such as +02:00 would hide that the local time changes. */
function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
