/**
 * Lists a caller's tasks in pages, newest status first (A2A section 3.1.4; invariant 9). A page costs the
 * same for every filter and any number of tasks: one index contains the tasks of each state in list order,
 * and another one does so for each context. Ids and totals are read from the index alone, except for tasks that changed
 * since vacuum was last there.
 *
 * A list of all states has the first rows of the state that most tasks have, and those of other states that are newer. So
 * it steps over few of the entries that tasks leave behind in states that they had, which remain until vacuum removes them.
 *
 * A page also ends where its tasks exceed `maxTaskBytes`.
 */
import { sql, type RawBuilder } from 'kysely';
import { taskStates, type TaskState } from '../../domain/task.ts';
import { FairLanes } from '../../runtime/fair-lanes.ts';
import type { Db } from '../client/pool.ts';
import { maxTaskBytes } from '../../domain/sizes.ts';
import type { Database } from '../schema/schema.ts';
import { readTaskSnapshots, type ReadOptions, type TaskRead, type TaskSnapshot } from './read.ts';
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

export interface TaskListing {
  caller: Caller;
  filter: ListFilter;
  /** Maximum number of tasks. */
  size: number;
  after?: ListCursor | undefined;
  options: ReadOptions;
}

export type ListTasks = (listing: TaskListing) => Promise<TaskPage>;

/** Pages that are read at once: each may hold several copies of 10 MB while it is read. */
const maxConcurrent = 4;

export function createTaskLister(db: Db): ListTasks {
  const totals = new EstimatedTotals();
  const lanes = new FairLanes(maxConcurrent);
  return (listing) => lanes.run(listing.caller.owner, () => listTasks({ db, totals }, listing));
}

interface ListParts {
  db: Db;
  totals: EstimatedTotals;
}

async function listTasks(
  { db, totals }: ListParts,
  { caller, filter, size, after, options }: TaskListing,
): Promise<TaskPage> {
  const known = after?.total ?? totals.get(caller, filter);
  const matches = sql`
    ${visibleTo(caller)}
    ${filter.contextId === undefined ? sql`` : sql`and t.context_id = ${filter.contextId}`}
    ${filter.statusSince === undefined ? sql`` : sql`and t.status_at >= ${filter.statusSince}`}`;
  const states = filter.state === undefined ? taskStates : [filter.state];
  const count = sql`case when (select count(*) from newest) > ${size} then (${selectCount(states, matches)}) end`;
  const { rows } = await sql<{ id: string; cursor_at: string; counted: number | null }>`
    with newest as materialized (${selectNewest(states, matches, size + 1, after)})
    select id, status_at::text as cursor_at, ${known === undefined ? count : sql`null`} as counted
    from newest order by status_at desc, id desc`.execute(db);
  const reads = rows.slice(0, size).map(({ id }) => ({ caller, taskId: id, options }));
  const countTotal = async (): Promise<number> => {
    if (after !== undefined) return after.total;
    // This page is the whole list.
    if (rows.length <= size) return rows.length;
    if (known !== undefined) return known;
    const counted = rows[0]?.counted ?? rows.length;
    if (counted <= maxExactTotal) return counted;
    const estimate = await estimateTotal(db, states, matches, counted);
    totals.keep(caller, filter, estimate);
    return estimate;
  };
  const [read, total] = await Promise.all([readFitting(db, reads), countTotal()]);
  const last = rows.length > read.length ? rows[read.length - 1] : undefined;
  return {
    // A task may have been removed, or have left the filter, since its id was read.
    tasks: read.flatMap((task) =>
      task === undefined || !states.includes(task.task.status.state) ? [] : [task],
    ),
    next: last && { statusAt: last.cursor_at, id: last.id, total },
    total,
  };
}

/**
 * Reads the first tasks that fit into one answer, and at least one. All are read together, each with an equal share of
 * the answer. Those that need more are read again, until the answer is full.
 */
async function readFitting(db: Db, reads: readonly TaskRead[]): Promise<(TaskSnapshot | undefined)[]> {
  const share = Math.ceil(maxTaskBytes / Math.max(1, reads.length));
  const found = await readTaskSnapshots(db, reads, share);
  const fitting: (TaskSnapshot | undefined)[] = [];
  let bytes = 0;
  for (const [index, read] of reads.entries()) {
    const first = found[index];
    const whole = first?.isCut === true ? (await readTaskSnapshots(db, [read]))[0] : first;
    bytes += whole?.bytes ?? 0;
    if (bytes > maxTaskBytes && index > 0) break;
    fitting.push(whole);
  }
  return fitting;
}

/** The state that most tasks of most owners have. */
const commonState: TaskState = 'TASK_STATE_COMPLETED';

/**
 * Selects the ids of the newest tasks. The order within each state makes the planner walk its index and stop.
 *
 * @param columns to select in addition to `id` and `status_at`
 */
export function selectNewest(
  states: readonly TaskState[],
  matches: RawBuilder<unknown>,
  limit: number,
  after?: Pick<ListCursor, 'statusAt' | 'id'>,
  columns: readonly (keyof Database['tasks'])[] = [],
): RawBuilder<unknown> {
  const isAfter =
    after === undefined
      ? sql``
      : sql`and (t.status_at, t.id) < (${after.statusAt}::timestamptz, ${after.id}::uuid)`;
  const selected = sql.join(['id', 'status_at', ...columns].map((column) => sql`t.${sql.ref(column)}`));
  const selectStates = (some: readonly TaskState[], isNewer: RawBuilder<unknown>) => sql`
    select newest_of_state.* from unnest(${some}::text[]) as listed (state)
    cross join lateral (
      select ${selected} from tasks t
      where t.state = listed.state and ${matches} ${isAfter} ${isNewer}
      order by t.status_at desc, t.id desc limit ${limit}
    ) newest_of_state`;
  const others = states.filter((state) => state !== commonState);
  if (others.length === 0 || others.length === states.length) {
    return sql`${selectStates(states, sql``)} order by status_at desc, id desc limit ${limit}`;
  }
  return sql`
    with common as materialized (${selectStates([commonState], sql``)}),
    -- If these fill the page, it has no older task.
    floor as (select case when count(*) = ${limit} then min(status_at) else '-infinity' end as at from common)
    select * from common
    union all ${selectStates(others, sql`and t.status_at >= (select at from floor)`)}
    order by status_at desc, id desc limit ${limit}`;
}

/** Totals are exact up to this: counting a million rows would cost more than the page. */
const maxExactTotal = 1_000;

/** Selects the number of matching tasks, at most `maxExactTotal + 1`, starting with the state that is likely to have as many. */
function selectCount(states: readonly TaskState[], matches: RawBuilder<unknown>): RawBuilder<unknown> {
  const most = sql.lit(maxExactTotal + 1);
  const likelyFirst = states.toSorted((a, b) => Number(b === commonState) - Number(a === commonState));
  return sql`
    select count(*)::int from (
      select from unnest(${likelyFirst}::text[]) as listed (state)
      cross join lateral (
        select from tasks t where t.state = listed.state and ${matches}
        order by t.status_at desc, t.id desc limit ${most}
      ) matching
      limit ${most}
    ) counted`;
}

/** Returns the planner's estimate of the number of matching tasks, and at least the number that was counted. */
async function estimateTotal(
  db: Db,
  states: readonly TaskState[],
  matches: RawBuilder<unknown>,
  counted: number,
): Promise<number> {
  const { rows } = await sql<{ 'QUERY PLAN': { Plan: { 'Plan Rows': number } }[] }>`
    explain (format json) select 1 from tasks t where ${matches} and t.state = any(${states}::text[])`.execute(
    db,
  );
  return Math.max(counted, Math.round(rows[0]?.['QUERY PLAN'][0]?.Plan['Plan Rows'] ?? counted));
}

const keptMs = 60_000;
const maxKept = 10_000;

/**
 * Estimated totals of the last minute. Counting up to `maxExactTotal` reads several times as many pages as the ids of a page,
 * and PostgreSQL updates its statistics at most once a minute.
 */
class EstimatedTotals {
  /** In the order in which they were estimated. */
  readonly #entries = new Map<string, { total: number; at: number }>();

  get(caller: Caller, filter: ListFilter): number | undefined {
    const entry = this.#entries.get(toKey(caller, filter));
    return entry === undefined || performance.now() - entry.at > keptMs ? undefined : entry.total;
  }

  keep(caller: Caller, filter: ListFilter, total: number): void {
    const key = toKey(caller, filter);
    this.#entries.delete(key);
    this.#entries.set(key, { total, at: performance.now() });
    const [oldest = key] = this.#entries.keys();
    if (this.#entries.size > maxKept) this.#entries.delete(oldest);
  }
}

function toKey({ tenant, owner }: Caller, { contextId, state, statusSince }: ListFilter): string {
  return JSON.stringify([tenant, owner, contextId, state, statusSince]);
}
