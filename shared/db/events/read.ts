/** Reading events (invariant 5): of one task from a number on, and of many tasks as they come. */
import { sql } from 'kysely';
import type { TaskEvent } from '../../domain/events.ts';
import type { Db } from '../client/pool.ts';

/** The events of a task after a number, in order. The caller has checked whose task it is. */
export async function readEvents(db: Db, taskId: string, after: number, limit: number): Promise<TaskEvent[]> {
  const rows = await db
    .selectFrom('events')
    .select(['task_id', 'seq', 'kind', 'payload'])
    .where('task_id', '=', taskId)
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(limit)
    .execute();
  return rows.map((row) => ({ taskId: row.task_id, seq: row.seq, kind: row.kind, payload: row.payload }));
}

/** A place in the log of all events: everything that was committed before it has been seen. */
export type LogPosition = string;

export async function logPosition(db: Db): Promise<LogPosition> {
  const { rows } = await sql<{
    xmin: string;
  }>`select pg_snapshot_xmin(pg_current_snapshot()) as xmin`.execute(db);
  return rows[0]?.xmin ?? '0';
}

/**
 * The events of some tasks that were committed since a position. Transactions commit out of order of their ids, so the
 * position is the oldest that was still running: what was running then is read again, and repeats are dropped by the
 * numbers within each task.
 */
export async function tailEvents(
  db: Db,
  from: LogPosition,
  taskIds: readonly string[],
): Promise<{ events: TaskEvent[]; next: LogPosition }> {
  const { rows } = await sql<{
    xmin: string;
    task_id: string | null;
    seq: number;
    kind: TaskEvent['kind'];
    payload: TaskEvent['payload'];
  }>`
    select look.xmin, e.task_id, e.seq, e.kind, e.payload
    from (select pg_snapshot_xmin(pg_current_snapshot()) as xmin) look
    left join events e on e.tx >= ${from}::xid8 and e.task_id = any(${taskIds}::uuid[])
    order by e.task_id, e.seq`.execute(db);
  const events = rows.flatMap((row) =>
    row.task_id === null ? [] : [{ taskId: row.task_id, seq: row.seq, kind: row.kind, payload: row.payload }],
  );
  return { events, next: rows[0]?.xmin ?? from };
}
