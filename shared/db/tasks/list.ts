/**
 * Pages of a caller's tasks, newest status first (A2A section 3.1.4; invariant 9). A page costs the same whatever is asked
 * for and however many tasks there are: the tasks of each state stand in an index in the order of the list, with or
 * without a context before it, and a list of all states is merged from the beginnings of the eight.
 */
import { sql, type RawBuilder } from 'kysely';
import { taskStates, type TaskState } from '../../domain/task.ts';
import type { Db } from '../client/pool.ts';
import {
  taskColumns,
  toSnapshot,
  type Caller,
  type ReadOptions,
  type TaskRow,
  type TaskSnapshot,
} from './read.ts';

export interface ListFilter {
  contextId?: string | undefined;
  state?: TaskState | undefined;
  /** Tasks whose status is as old as this, or newer. */
  statusSince?: Date | undefined;
}

/** The place after which a page begins: the last task of the page before. */
export interface ListCursor {
  statusAt: string;
  id: string;
  /** As it was on the first page. */
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
    t.tenant = ${caller.tenant} and t.owner = ${caller.owner} and (t.shown or not t.direct)
    ${filter.contextId === undefined ? sql`` : sql`and t.context_id = ${filter.contextId}`}
    ${filter.statusSince === undefined ? sql`` : sql`and t.status_at >= ${filter.statusSince}`}`;
  const states = filter.state === undefined ? taskStates : [filter.state];
  const { rows } = await sql<TaskRow & { cursor_at: string }>`
    select ${taskColumns}, t.status_at::text as cursor_at
    from (${newest(states, matches, size + 1, after)}) page
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

/** The order is asked for in each state too: it is what makes the planner take the index, and stop. */
function newest(
  states: readonly TaskState[],
  matches: RawBuilder<unknown>,
  limit: number,
  after?: ListCursor,
): RawBuilder<unknown> {
  return sql`
    select one.id from unnest(${states}::text[]) as wanted (state)
    cross join lateral (
      select t.id, t.status_at from tasks t
      where t.state = wanted.state and ${matches}
        ${after === undefined ? sql`` : sql`and (t.status_at, t.id) < (${after.statusAt}::timestamptz, ${after.id}::uuid)`}
      order by t.status_at desc, t.id desc limit ${limit}
    ) one
    order by one.status_at desc, one.id desc limit ${limit}`;
}

/** Up to here totals are exact; a count of a million rows would cost more than its page. */
const exactTotal = 1_000;

/** How many tasks match: exact up to a thousand, from there on as many as the planner's statistics say, at least. */
async function countTasks(
  db: Db,
  states: readonly TaskState[],
  matches: RawBuilder<unknown>,
): Promise<number> {
  const { rows } = await sql<{ total: number }>`
    select count(*)::int as total from (${newest(states, matches, exactTotal + 1)}) one`.execute(db);
  const counted = rows[0]?.total ?? 0;
  if (counted <= exactTotal) return counted;
  const { rows: plans } = await sql<{ 'QUERY PLAN': { Plan: { 'Plan Rows': number } }[] }>`
    explain (format json) select 1 from tasks t where ${matches} and t.state = any(${states}::text[])`.execute(
    db,
  );
  return Math.max(counted, Math.round(plans[0]?.['QUERY PLAN'][0]?.Plan['Plan Rows'] ?? counted));
}
