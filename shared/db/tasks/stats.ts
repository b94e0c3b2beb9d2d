/** The tasks of a caller in figures (invariant 9). Each is read from an index, up to a limit. */
import { sql } from 'kysely';
import { taskStates, type TaskState } from '../../domain/task.ts';
import type { TaskStats } from '../../domain/views.ts';
import type { Db } from '../client/pool.ts';
import { selectNewest } from './list.ts';
import { visibleTo, type Caller } from './visibility.ts';

const maxCount = 10_000;
const maxTimed = 1_000;

interface Timed {
  tasks: number;
  p50: number | null;
  p90: number | null;
  p99: number | null;
}

export async function readTaskStats(db: Db, caller: Caller): Promise<TaskStats> {
  const own = visibleTo(caller);
  const counted = await sql<{ state: TaskState; count: number; changed: number; oldest: number }>`
    select s.state, counted.count, recent.count as changed,
      extract(epoch from now() - (
        select t.status_at from tasks t where t.state = s.state and ${own} order by t.status_at, t.id limit 1
      ))::float8 as oldest
    from unnest(${taskStates}::text[]) as s (state)
    cross join lateral (
      select count(*)::int from (
        select from tasks t where t.state = s.state and ${own} limit ${maxCount + 1}
      ) counted
    ) counted
    cross join lateral (
      select count(*)::int from (
        select from tasks t where t.state = s.state and ${own} and t.status_at > now() - interval '1 hour'
        limit ${maxCount + 1}
      ) counted
    ) recent`.execute(db);
  const timed = await sql<Timed>`
    select count(*)::int as tasks, percentile_disc(0.5) within group (order by seconds) as p50,
      percentile_disc(0.9) within group (order by seconds) as p90,
      percentile_disc(0.99) within group (order by seconds) as p99
    from (
      select extract(epoch from t.status_at - t.created_at)::float8 as seconds
      from (${selectNewest(['TASK_STATE_COMPLETED'], own, maxTimed)}) newest join tasks t on t.id = newest.id
    ) completed`.execute(db);
  const count = (value: 'count' | 'changed') =>
    Object.fromEntries(counted.rows.map((row) => [row.state, row[value]])) as Record<TaskState, number>;
  const submitted = counted.rows.find(({ state }) => state === 'TASK_STATE_SUBMITTED');
  const { tasks, p50, p90, p99 } = timed.rows[0] ?? { tasks: 0, p50: null, p90: null, p99: null };
  return {
    countsUpTo: maxCount,
    states: count('count'),
    changedInLastHour: count('changed'),
    ...(submitted !== undefined && submitted.count > 0 && { oldestSubmittedSeconds: submitted.oldest }),
    ...(p50 !== null && p90 !== null && p99 !== null && { completion: { tasks, p50, p90, p99 } }),
  };
}
