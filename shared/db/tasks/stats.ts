/**
 * The tasks of a caller in figures (invariant 9). Each is read from an index in the order of lists, up to a limit, so the
 * cost has a bound. Answers are shared for a second.
 */
import { sql } from 'kysely';
import { taskStates, type TaskState } from '../../domain/task.ts';
import type { TaskStats } from '../../domain/views.ts';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { visibleTo, type Caller } from './visibility.ts';

const maxCount = 10_000;
const maxTimed = 1_000;
const sharedMs = 1_000;

interface Timed {
  tasks: number;
  p50: number | null;
  p90: number | null;
  p99: number | null;
}

/** Reads the figures of each caller at most once a second: calls within a second get the same answer. */
export function createStatsReader(db: Db): (caller: Caller) => Promise<TaskStats> {
  const shared = new Map<string, Promise<TaskStats>>();
  return (caller) => {
    const key = JSON.stringify([caller.tenant, caller.owner]);
    const known = shared.get(key);
    if (known !== undefined) return known;
    const read = readTaskStats(db, caller);
    shared.set(key, read);
    read.then(
      () => setTimeout(() => shared.delete(key), sharedMs).unref(),
      () => shared.delete(key),
    );
    return read;
  };
}

export async function readTaskStats(db: Db, caller: Caller): Promise<TaskStats> {
  const own = visibleTo(caller);
  // Without the order, the planner scans the whole table for states with few tasks.
  const newest = sql`order by t.status_at desc, t.id desc`;
  const counted = await sql<{
    at: string;
    state: TaskState;
    count: number;
    changed: number;
    oldest: number | null;
  }>`
    select ${isoTime(sql`now()`)} as at, s.state, counted.*, extract(epoch from now() - (
        select t.status_at from tasks t where t.state = s.state and ${own} order by t.status_at, t.id limit 1
      ))::float8 as oldest
    from unnest(${taskStates}::text[]) as s (state)
    cross join lateral (
      select count(*)::int, (count(*) filter (where n.status_at > now() - interval '1 hour'))::int as changed
      from (select t.status_at from tasks t where t.state = s.state and ${own} ${newest} limit ${maxCount + 1}) n
    ) counted`.execute(db);
  const timed = await sql<Timed>`
    select count(*)::int as tasks, percentile_disc(0.5) within group (order by seconds) as p50,
      percentile_disc(0.9) within group (order by seconds) as p90,
      percentile_disc(0.99) within group (order by seconds) as p99
    from (
      select extract(epoch from t.status_at - t.created_at)::float8 as seconds
      from tasks t where t.state = 'TASK_STATE_COMPLETED' and ${own} ${newest} limit ${maxTimed}
    ) completed`.execute(db);
  const [first] = counted.rows;
  if (first === undefined) throw new Error('no state was counted');
  const count = (value: 'count' | 'changed') =>
    Object.fromEntries(counted.rows.map((row) => [row.state, row[value]])) as Record<TaskState, number>;
  const oldest = counted.rows.find(({ state }) => state === 'TASK_STATE_SUBMITTED')?.oldest ?? undefined;
  const { tasks, p50, p90, p99 } = timed.rows[0] ?? { tasks: 0, p50: null, p90: null, p99: null };
  return {
    countedAt: first.at,
    countsUpTo: maxCount,
    states: count('count'),
    changedInLastHour: count('changed'),
    ...(oldest !== undefined && { oldestSubmittedSeconds: oldest }),
    ...(p50 !== null && p90 !== null && p99 !== null && { completion: { tasks, p50, p90, p99 } }),
  };
}
