/** Reads events (invariant 5): those of one task from a number on, and new ones of many tasks. */
import { sql, type RawBuilder } from 'kysely';
import type { EventKind, TaskEvent } from '../../domain/events.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, openJson, openJsonText } from '../contents/codec.ts';

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
  const events = rows.map((row) => ({
    taskId: row.task_id,
    seq: row.seq,
    kind: row.kind,
    payload: row.payload,
  }));
  return areContentsEncrypted() ? Promise.all(events.map(openEvent)) : events;
}

async function openEvent<E extends TaskEvent | UnreadEvent>(event: E): Promise<E> {
  return { ...event, payload: await openJson('event', event.taskId, event.payload) };
}

/** Returns the number of the first event of a task after a number that has this content; undefined: there is none. */
export async function findEvent(
  db: Db,
  taskId: string,
  after: number,
  { kind, payload }: { kind: EventKind; payload: string },
): Promise<number | undefined> {
  const ofKind = db
    .selectFrom('events')
    .select(['seq', sql<string>`payload::text`.as('text')])
    .where('task_id', '=', taskId)
    .where('seq', '>', after)
    .where('kind', '=', kind)
    .orderBy('seq');
  if (!areContentsEncrypted()) {
    return (
      await ofKind
        .where(sql`payload::text`, '=', payload)
        .limit(1)
        .executeTakeFirst()
    )?.seq;
  }
  // The same content is encrypted differently each time.
  for (const { seq, text } of await ofKind.execute()) {
    if ((await openJsonText('event', taskId, text)) === payload) return seq;
  }
  return undefined;
}

/**
 * A position in the log of all events: those that are visible in this snapshot have been read. A transaction that
 * is still running is named in it, so that an old one does not make later events be read again.
 */
export interface LogPosition {
  /** The first transaction id that was not assigned yet. */
  xmax: string;
  /** Earlier transactions that were still running. */
  running: readonly string[];
}

/** Parses a `pg_snapshot`: `xmin:xmax:running,…` (PostgreSQL documentation, section 9.28). */
export function parseSnapshot(text: string): LogPosition {
  const [, xmax = '0', running = ''] = text.split(':');
  return { xmax, running: running === '' ? [] : running.split(',') };
}

export async function readLogPosition(db: Db): Promise<LogPosition> {
  const { rows } = await sql<{ snapshot: string }>`select pg_current_snapshot()::text as snapshot`.execute(
    db,
  );
  return parseSnapshot(rows[0]?.snapshot ?? '');
}

/**
 * The state in the payload of an event of kind `state`. PostgreSQL refuses to parse JSON that contains `\u0000`, which
 * messages may, so this finds the first key of that name: quotes within texts are escaped.
 */
export function stateOfPayload(payload: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`substring(${payload}::text from '"state" ?: ?"([A-Z_]+)"')`;
}

/** An event whose payload was not read, because the events before it are large. */
export type UnreadEvent = Omit<TaskEvent, 'payload'> & { payload: null };

/** Maximum size of the payloads that `tailEvents` reads, as JSON. */
const maxTailBytes = 8 * 1024 * 1024;

/**
 * Returns the events of some tasks that became visible after a position, by task and number. Transactions do not
 * commit in the order of their ids: events are new if their transaction started after the position, or was running
 * at it.
 */
export async function tailEvents(
  db: Db,
  from: LogPosition,
  taskIds: readonly string[],
): Promise<{ events: (TaskEvent | UnreadEvent)[]; next: LogPosition }> {
  const { rows } = await sql<{
    snapshot: string;
    task_id: string | null;
    seq: number;
    kind: TaskEvent['kind'];
    payload: TaskEvent['payload'] | null;
  }>`
    select now.snapshot, e.task_id, e.seq, e.kind, case when e.total <= ${maxTailBytes} then e.payload end as payload
    from (select pg_current_snapshot()::text as snapshot) now
    left join (
      select *, sum(octet_length(payload::text)) over (order by task_id, seq) as total
      from (
        select * from events where tx >= ${from.xmax}::xid8
        union all
        select * from events where tx = any(${from.running}::text[]::xid8[])
      ) unread
      where task_id = any(${taskIds}::uuid[])
    ) e on true
    order by e.task_id, e.seq`.execute(db);
  const events = rows.flatMap((row) =>
    row.task_id === null ? [] : [{ taskId: row.task_id, seq: row.seq, kind: row.kind, payload: row.payload }],
  );
  const next = rows[0] === undefined ? from : parseSnapshot(rows[0].snapshot);
  return { events: areContentsEncrypted() ? await Promise.all(events.map(openOrLeave)) : events, next };
}

/** An event that cannot be decrypted is left to its reader, so that the readers of other owners do not wait for its key. */
async function openOrLeave(event: TaskEvent | UnreadEvent): Promise<TaskEvent | UnreadEvent> {
  try {
    return await openEvent(event);
  } catch {
    return { ...event, payload: null };
  }
}
