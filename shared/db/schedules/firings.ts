/** The history of a schedule: what happened at its due times, and when it was started by hand. */
import { sql, type Transaction } from 'kysely';
import type { SkipReason } from '../../domain/schedule.ts';
import type { Db } from '../client/pool.ts';
import { boolean, int, rows, text, timestamp, uuid } from '../client/rows.ts';
import type { Database } from '../schema/schema.ts';
import type { Caller } from '../tasks/visibility.ts';

/** Rows of a schedule that are kept. */
const maxFirings = 200;

export interface Firing {
  dueAt: Date;
  /** The last due time of the row: skipped ones share a row. */
  until: Date;
  /** How many due times the row covers. */
  count: number;
  manual: boolean;
  /** The task that was started; null: none, see `reason`. */
  taskId: string | null;
  reason: SkipReason | null;
}

export interface NewFiring extends Firing {
  key: string;
}

/**
 * Stores what happened. A due time that is already decided is an error: no schedule starts two tasks for one time.
 * Older rows than the newest 200 are removed.
 */
export async function recordFirings(
  trx: Transaction<Database>,
  firings: readonly NewFiring[],
): Promise<void> {
  if (firings.length === 0) return;
  const input = rows('input', firings, {
    schedule_key: uuid((firing) => firing.key),
    due_at: timestamp((firing) => firing.dueAt),
    manual: boolean((firing) => firing.manual),
    task_id: uuid((firing) => firing.taskId),
    reason: text((firing) => firing.reason),
    until: timestamp((firing) => firing.until),
    count: int((firing) => firing.count),
  });
  await sql`
    with oldest as (
      select key, (
        select f.due_at from schedule_firings f where f.schedule_key = k.key
        order by f.due_at desc offset ${maxFirings - 1} limit 1
      ) as due_at
      from unnest(${[...new Set(firings.map(({ key }) => key))]}::uuid[]) as k (key)
    ),
    removed as (
      delete from schedule_firings f using oldest where f.schedule_key = oldest.key and f.due_at <= oldest.due_at
    )
    insert into schedule_firings (schedule_key, due_at, manual, task_id, reason, until, count)
    select schedule_key, due_at, manual, task_id, reason, until, count from (${input}) input`.execute(trx);
}

/**
 * Returns the newest firings of a schedule.
 *
 * @param page `before` is the due time of the last row of the page before
 * @returns undefined if the caller has no such schedule
 */
export async function listFirings(
  db: Db,
  { tenant, owner }: Caller,
  id: string,
  page: { size: number; before: Date | undefined },
): Promise<{ firings: Firing[]; next: Date | undefined } | undefined> {
  const schedule = await db
    .selectFrom('schedules')
    .select('key')
    .where('owner', '=', owner)
    .where('tenant', '=', tenant)
    .where('id', '=', id)
    .executeTakeFirst();
  if (schedule === undefined) return undefined;
  const found = await db
    .selectFrom('schedule_firings')
    .select(['due_at', 'until', 'count', 'manual', 'task_id', 'reason'])
    .where('schedule_key', '=', schedule.key)
    .where('due_at', '<', page.before ?? sql<Date>`'infinity'`)
    .orderBy('due_at', 'desc')
    .limit(page.size + 1)
    .execute();
  const firings = found.slice(0, page.size).map((row) => ({
    dueAt: row.due_at,
    until: row.until,
    count: row.count,
    manual: row.manual,
    taskId: row.task_id,
    reason: row.reason,
  }));
  return { firings, next: found.length > page.size ? firings.at(-1)?.dueAt : undefined };
}
