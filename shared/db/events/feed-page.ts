/** Reads the events of all tasks of some callers since a position in the log of events (invariants 5 and 9). */
import { sql } from 'kysely';
import type { FeedEvent } from '../../domain/views.ts';
import { createBatcher } from '../client/batcher.ts';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { rows, text } from '../client/rows.ts';
import type { Caller } from '../tasks/visibility.ts';
import { createBatch, type FeedBatch } from './feed-reader.ts';
import { parseSnapshot, stateOfPayload, type LogPosition } from './read.ts';

/** Events of all callers that a page examines. It has whole transactions, so it may examine some more. */
const pageEvents = 5_000;

export interface FeedPage {
  events: { caller: Caller; event: FeedEvent }[];
  /** The position after the page. */
  next: LogPosition;
  /** There are more events up to `to`. */
  more: boolean;
}

/** @param to limits the page to events that were visible at that position. Default: now */
export async function readFeedPage(
  db: Db,
  callers: readonly Caller[],
  { from, to, limit = pageEvents }: { from: LogPosition; to?: LogPosition; limit?: number },
): Promise<FeedPage> {
  const target = to === undefined ? sql`pg_current_snapshot()` : sql`${formatSnapshot(to)}::pg_snapshot`;
  const who = rows('who', callers, {
    tenant: text((caller) => caller.tenant),
    owner: text((caller) => caller.owner),
  });
  const result = await sql<{
    snapshot: string;
    examined: number;
    last: string | null;
    tenant: string | null;
    owner: string;
    event: FeedEvent;
  }>`
    with page as materialized (
      select * from events e where e.tx >= ${from.xmax}::xid8 and pg_visible_in_snapshot(e.tx, ${target})
      order by e.tx fetch first ${sql.lit(limit)} rows with ties
    ),
    unread as (
      select * from page
      union all
      select * from events e
      where e.tx = any(${from.running}::text[]::xid8[]) and pg_visible_in_snapshot(e.tx, ${target})
    ),
    found as (
      select u.tx, u.task_id, u.seq, t.tenant, t.owner, json_strip_nulls(json_build_object(
        'taskId', u.task_id, 'contextId', t.context_id, 'event', u.seq, 'kind', u.kind,
        'at', ${isoTime(sql`u.created_at`)}, 'artifactId', u.artifact_id,
        'state', case when u.kind = 'state' then ${stateOfPayload(sql`u.payload`)} end
      )) as event
      from unread u
      -- The limit keeps the planner from reading all tasks for a full page.
      cross join lateral (select tenant, owner, context_id from tasks where id = u.task_id limit 1) t
      where (t.tenant, t.owner) in (${who})
    )
    select now.snapshot, now.examined, now.last, f.tenant, f.owner, f.event
    from (
      select (${target})::text as snapshot, (select count(*)::int from page) as examined, (select max(tx)::text from page) as last
    ) now left join found f on true
    order by f.tx, f.task_id, f.seq`.execute(db);
  const [row] = result.rows;
  if (row === undefined) throw new Error('an outer join returned no row');
  const end = parseSnapshot(row.snapshot);
  const more = row.last !== null && row.examined >= limit;
  return {
    events: result.rows.flatMap(({ tenant, owner, event }) =>
      tenant === null ? [] : [{ caller: { tenant, owner }, event }],
    ),
    next: more && row.last !== null ? cutPosition(end, BigInt(row.last) + 1n) : end,
    more,
  };
}

interface PageRead {
  caller: Caller;
  from: LogPosition;
  to: LogPosition;
}

/**
 * Reads pages of single callers. Those that are asked for at the same time share statements: after a restart, many
 * readers continue at the same position.
 */
export function createPageReader(db: Db): (read: PageRead) => Promise<{ batch: FeedBatch; more: boolean }> {
  return createBatcher(async (reads: readonly PageRead[]) => {
    const pages = new Map<string, { batch: FeedBatch; more: boolean }>();
    for (const [range, shared] of Map.groupBy(reads, toRange)) {
      const callers = new Map(shared.map(({ caller }) => [toKey(caller), caller]));
      const [{ from, to }] = shared as [PageRead];
      const { events, next, more } = await readFeedPage(db, [...callers.values()], { from, to });
      const found = Map.groupBy(events, ({ caller }) => toKey(caller));
      for (const key of callers.keys()) {
        const own = found.get(key)?.map(({ event }) => event) ?? [];
        pages.set(`${range} ${key}`, { batch: createBatch(own, from, next), more });
      }
    }
    return reads.map((read) => {
      const page = pages.get(`${toRange(read)} ${toKey(read.caller)}`);
      if (page === undefined) throw new Error('a page was not read');
      return page;
    });
  }, pageReads);
}

/** Pages that share statements, and how many such sets run at once. */
const pageReads = { max: 256, lanes: 2 };

const toRange = ({ from, to }: PageRead): string => `${formatPosition(from)} ${formatPosition(to)}`;

export const toKey = ({ tenant, owner }: Caller): string => JSON.stringify([tenant, owner]);

/** The position at which transactions before `xmax` have been read, as far as they are visible at `end`. */
function cutPosition(end: LogPosition, xmax: bigint): LogPosition {
  return { xmax: String(xmax), running: end.running.filter((id) => BigInt(id) < xmax) };
}

/** The text of a `pg_snapshot` (PostgreSQL documentation, section 9.28). */
function formatSnapshot({ xmax, running }: LogPosition): string {
  const sorted = running.toSorted((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1));
  return `${sorted[0] ?? xmax}:${xmax}:${sorted.join(',')}`;
}

/** A position as text, for clients. */
export function formatPosition({ xmax, running }: LogPosition): string {
  return [xmax, ...running].join('-');
}

/** @returns undefined if the text is not a position */
export function parsePosition(position: string): LogPosition | undefined {
  if (!/^\d{1,18}(-\d{1,18}){0,1000}$/.test(position)) return undefined;
  const [xmax = '0', ...running] = position.split('-');
  return running.every((id) => BigInt(id) < BigInt(xmax)) ? { xmax, running } : undefined;
}
