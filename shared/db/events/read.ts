/** Reads events (invariant 5): those of one task from a number on, and new ones of many tasks. */
import { sql } from 'kysely';
import type { TaskEvent } from '../../domain/events.ts';
import type { Db } from '../client/pool.ts';

/** Returns the events of a task after a number, in order. It does not check who owns the task. */
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

/** A position in the log of all events: every event of an earlier transaction has been read. */
export type LogPosition = string;

export async function readLogPosition(db: Db): Promise<LogPosition> {
  const { rows } = await sql<{ xmin: string }>`
    select pg_snapshot_xmin(pg_current_snapshot()) as xmin`.execute(db);
  return rows[0]?.xmin ?? '0';
}

/** An event whose payload was not read, because the events before it are large. */
export type UnreadEvent = Omit<TaskEvent, 'payload'> & { payload: null };

/** Maximum size of the payloads that `tailEvents` reads, as JSON. */
const maxTailBytes = 8 * 1024 * 1024;

/**
 * Returns the events of some tasks since a position. Transactions do not commit in the order of their ids, so
 * the next position is the oldest transaction still running. Events of later transactions are then returned
 * again; callers drop repeats by the number within the task.
 */
export async function tailEvents(
  db: Db,
  from: LogPosition,
  taskIds: readonly string[],
): Promise<{ events: (TaskEvent | UnreadEvent)[]; next: LogPosition }> {
  const { rows } = await sql<{
    xmin: string;
    task_id: string | null;
    seq: number;
    kind: TaskEvent['kind'];
    payload: TaskEvent['payload'] | null;
  }>`
    select snapshot.xmin, e.task_id, e.seq, e.kind, case when e.total <= ${maxTailBytes} then e.payload end as payload
    from (select pg_snapshot_xmin(pg_current_snapshot()) as xmin) snapshot
    left join (
      select *, sum(octet_length(payload::text)) over (order by task_id, seq) as total
      from events where tx >= ${from}::xid8 and task_id = any(${taskIds}::uuid[])
    ) e on true
    order by e.task_id, e.seq`.execute(db);
  const events = rows.flatMap((row) =>
    row.task_id === null ? [] : [{ taskId: row.task_id, seq: row.seq, kind: row.kind, payload: row.payload }],
  );
  return { events, next: rows[0]?.xmin ?? from };
}
