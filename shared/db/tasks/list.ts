/**
 * Lists a caller's tasks in pages, newest status first (A2A section 3.1.4; invariant 9). A page costs the
 * same for every filter and any number of tasks: one index contains the tasks of each state in list order,
 * and another one does so for each context. A list of all states merges the first rows of each of the eight
 * states.
 */
import { sql, type RawBuilder } from 'kysely';
import { taskStates, type TaskState } from '../../domain/task.ts';
import type { Db } from '../client/pool.ts';
import { taskColumns, toSnapshot, type ReadOptions, type TaskRow, type TaskSnapshot } from './read.ts';
import { visibleTo, type Caller } from './visibility.ts';

export interface ListFilter {
  contextId?: string | undefined;
  state?: TaskState | undefined;
  /** Only tasks whose status changed at this time or later. */
  statusSince?: Date | undefined;
}

/** Where a page starts: after the last task of the previous page. */
export interface ListCursor {
  statusAt: string;
  id: string;
  /** The total of the first page. */
  total: number;
}

export interface TaskPage {
  tasks: TaskSnapshot[];
  next: ListCursor | undefined;
  total: number;
}

export async function listTasks(
  db: Db,
  caller: Caller,
  filter: ListFilter,
  page: { size: number; after?: ListCursor | undefined },
  options: ReadOptions,
): Promise<TaskPage> {
  const { size, after } = page;
  const matches = sql`
    ${visibleTo(caller)}
    ${filter.contextId === undefined ? sql`` : sql`and t.context_id = ${filter.contextId}`}
    ${filter.statusSince === undefined ? sql`` : sql`and t.status_at >= ${filter.statusSince}`}`;
  const states = filter.state === undefined ? taskStates : [filter.state];
  const { rows } = await sql<TaskRow & { cursor_at: string }>`
    select ${taskColumns}, t.status_at::text as cursor_at
    from (${selectNewest(states, matches, size + 1, after)}) page
    join tasks t on t.id = page.id
    join gates g on g.task_id = t.id
    cross join (
      select ${options.historyLength ?? null}::int as history_length,
        ${options.includeArtifacts ?? true}::boolean as include_artifacts
    ) input
    order by t.status_at desc, t.id desc`.execute(db);
  const last = rows.length > size ? rows[size - 1] : undefined;
  const total = after?.total ?? (last === undefined ? rows.length : await countTasks(db, states, matches));
  return {
    tasks: rows.slice(0, size).map((row) => toSnapshot(row, options)),
    next: last && { statusAt: last.cursor_at, id: last.id, total },
    total,
  };
}

/**
 * Selects the ids of the newest tasks. The order within each state makes the planner walk its index and stop.
 */
function selectNewest(
  states: readonly TaskState[],
  matches: RawBuilder<unknown>,
  limit: number,
  after?: ListCursor,
): RawBuilder<unknown> {
  const isAfter =
    after === undefined
      ? sql``
      : sql`and (t.status_at, t.id) < (${after.statusAt}::timestamptz, ${after.id}::uuid)`;
  return sql`
    select newest.id from unnest(${states}::text[]) as listed (state)
    cross join lateral (
      select t.id, t.status_at from tasks t
      where t.state = listed.state and ${matches} ${isAfter}
      order by t.status_at desc, t.id desc limit ${limit}
    ) newest
    order by newest.status_at desc, newest.id desc limit ${limit}`;
}

/** Totals are exact up to this: counting a million rows would cost more than the page. */
const maxExactTotal = 1_000;

/** Counts matching tasks: exactly up to `maxExactTotal`, and by the planner's estimate above that. */
async function countTasks(
  db: Db,
  states: readonly TaskState[],
  matches: RawBuilder<unknown>,
): Promise<number> {
  const { rows } = await sql<{ total: number }>`
    select count(*)::int as total from (${selectNewest(states, matches, maxExactTotal + 1)}) newest`.execute(
    db,
  );
  const counted = rows[0]?.total ?? 0;
  if (counted <= maxExactTotal) return counted;
  const { rows: plans } = await sql<{ 'QUERY PLAN': { Plan: { 'Plan Rows': number } }[] }>`
    explain (format json) select 1 from tasks t where ${matches} and t.state = any(${states}::text[])`.execute(
    db,
  );
  return Math.max(counted, Math.round(plans[0]?.['QUERY PLAN'][0]?.Plan['Plan Rows'] ?? counted));
}
