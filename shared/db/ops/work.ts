/** Work that makes no progress, for operators, over all owners. Each kind is found by an index, up to a limit. */
import { sql, type RawBuilder } from 'kysely';
import { stateClass, type TaskState } from '../../domain/task.ts';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { errorMessage } from '../../runtime/log.ts';
import { openText } from '../contents/codec.ts';
import { isFree } from '../turns/leases.ts';

/**
 * - `parked`: waits for capacity of the model
 * - `failing`: a partner of the agent fails; the turn runs again
 * - `stalled`: may start, and its wake-up is late
 * - `overdue`: has missed its deadline, and has not ended
 */
export const workKinds = ['parked', 'failing', 'stalled', 'overdue'] as const;
export type WorkKind = (typeof workKinds)[number];

export interface WorkView {
  taskId: string;
  tenant: string;
  owner: string;
  state: TaskState;
  /** Parked: when it runs again. Failing: since when. Stalled: when its wake-up was due. Overdue: the deadline. */
  at: string;
  /** Failures of partners in a row. */
  failures: number;
  lastError?: string;
}

/** Runnable turns that are examined for those that fail or stall. */
const maxExamined = 10_000;

const runnable = sql`(select * from gates where state_class = 0 order by wakeup_at limit ${sql.lit(maxExamined)})`;

const sources: Record<WorkKind, RawBuilder<unknown>> = {
  parked: sql`select g.task_id, p.at, g.failures from quota_places p join gates g on g.task_id = p.task_id
    where g.state_class = ${sql.lit(stateClass.runnable)} and g.run_at > now()`,
  failing: sql`select g.task_id, g.failing_since as at, g.failures from ${runnable} g where g.failing_since is not null`,
  stalled: sql`select g.task_id, g.wakeup_at as at, g.failures from ${runnable} g
    where g.wakeup_at < now() and g.run_at <= now() and ${isFree}`,
  overdue: sql`select g.task_id, g.deadline_at as at, g.failures from gates g
    where g.deadline_at < now() and g.state_class < ${sql.lit(stateClass.terminal)}`,
};

/** The oldest first. */
export async function readWork(db: Db, kind: WorkKind, limit: number): Promise<WorkView[]> {
  const { rows } = await sql<{ work: WorkView }>`
    select json_strip_nulls(json_build_object('taskId', t.id, 'tenant', t.tenant, 'owner', t.owner, 'state', t.state,
      'at', ${isoTime(sql`found.at`)}, 'failures', found.failures, 'lastError', t.last_error)) as work
    from (select * from (${sources[kind]}) source order by at limit ${limit}) found
    join tasks t on t.id = found.task_id
    order by found.at`.execute(db);
  return Promise.all(rows.map(({ work }) => openError(work)));
}

/** The list has all owners: one whose key cannot be reached must not hide the others. */
async function openError(work: WorkView): Promise<WorkView> {
  if (work.lastError === undefined) return work;
  try {
    return { ...work, lastError: await openText('error', work.taskId, work.lastError) };
  } catch (error) {
    return { ...work, lastError: `not readable: ${errorMessage(error)}` };
  }
}

/**
 * Has the reconciler wake turns in its next pass, as after a dead letter. A turn that waits because a partner has failed is
 * tried now; one that waits for its start time, or for capacity of the model, keeps its time.
 *
 * @returns the ids of those that may start and are not leased
 */
export async function requestWakeups(db: Db, taskIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ task_id: string }>`
    update gates g set wakeup_at = now(), run_at = least(g.run_at, now())
    where g.task_id = any(${taskIds}::uuid[]) and g.state_class + 0 = ${stateClass.runnable} and ${isFree}
      and (g.run_at <= now() or g.failing_since is not null)
    returning g.task_id`.execute(db);
  return rows.map(({ task_id: taskId }) => taskId);
}
