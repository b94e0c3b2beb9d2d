/** Waits for children, and reads their results. */
import { sql } from 'kysely';
import type { Artifact, Message } from '../../domain/message.ts';
import { isTerminal, taskStates, type TaskState } from '../../domain/task.ts';
import type { Usage } from '../../domain/usage.ts';
import type { Db } from '../client/pool.ts';
import { openJson, openList } from '../contents/codec.ts';
import { toStoredBytes } from '../contents/sizes.ts';
import type { Lease } from '../turns/leases.ts';

/**
 * Asks for a wake-up of the turn when `needed` children of a group have ended, unless they have. The end of a child and
 * this statement meet at the row of the group: one of them sees the other. If several waits of the turn need different
 * numbers, the smallest is stored, and the others ask again when the turn runs.
 *
 * @returns how many have ended, and whether these are as many as needed; undefined if the task has no such group
 */
export async function awaitChildren(
  db: Db,
  lease: Lease,
  group: string,
  needed: number,
): Promise<{ ended: number; isOver: boolean } | undefined> {
  const { rows } = await sql<{ ended: number; isOver: boolean }>`
    with awaited as (
      update child_groups cg set join_turn = ${lease.turn}, needed = least(case
        when cg.join_turn = ${lease.turn} then cg.needed end, ${needed}::int)
      where cg.id = ${group} and cg.parent_id = ${lease.taskId} and cg.ended < ${needed}::int
      returning cg.ended
    )
    select coalesce((select ended from awaited), cg.ended) as ended, not exists (select from awaited) as "isOver"
    from child_groups cg where cg.id = ${group} and cg.parent_id = ${lease.taskId}`.execute(db);
  return rows[0];
}

/** Returns the usage so far of the children of a group, including those that run, without `counted` ones. */
export async function readChildUsage(db: Db, group: string, counted: readonly string[]): Promise<Usage[]> {
  const { rows } = await sql<{ usage: Usage }>`
    select usage from tasks
    where child_group = ${group} and usage is not null and id <> all(${counted}::uuid[])`.execute(db);
  return rows.map(({ usage }) => usage);
}

export interface ChildRow {
  taskId: string;
  state: TaskState;
  usage: Usage | null;
  /** Null if there is none, the child has not ended, or it does not fit. */
  message: Message | null;
  artifacts: Artifact[] | null;
  /** False if the child's content was left out because of its size. */
  complete: boolean;
}

/**
 * Reads children of a group in the order of `taskIds`. The content of those that have ended is included as far as it
 * fits into `maxBytes`, the smallest first. Removed children are left out.
 */
export async function readChildren(
  db: Db,
  group: string,
  taskIds: readonly string[],
  maxBytes: number,
): Promise<ChildRow[]> {
  const { rows } = await sql<ChildRow>`
    with child as (
      select t.id, t.state, t.usage, input.place,
        coalesce(octet_length(t.status_message::text), 0)
          + coalesce((select sum(a.bytes) from artifacts a where a.task_id = t.id), 0) as bytes
      from unnest(${taskIds}::uuid[]) with ordinality as input (id, place)
      join tasks t on t.id = input.id and t.child_group = ${group}
    ),
    sized as (
      select *, state = any(${endStates}::text[]) as has_ended,
        sum(bytes) filter (where state = any(${endStates}::text[])) over (order by bytes, id) <= ${toStoredBytes(maxBytes)} as fits
      from child
    )
    select s.id as "taskId", s.state, s.usage, not s.has_ended or s.fits as complete,
      case when s.has_ended and s.fits then t.status_message end as message,
      case when s.has_ended and s.fits then (
        select json_agg(a.artifact order by a.seq) from artifacts a where a.task_id = s.id
      ) end as artifacts
    from sized s join tasks t on t.id = s.id order by s.place`.execute(db);
  const open = async (row: ChildRow): Promise<ChildRow> => ({
    ...row,
    message: await openJson('message', row.taskId, row.message),
    artifacts: await openList('artifact', row.taskId, row.artifacts),
  });
  return Promise.all(rows.map(open));
}

const endStates = taskStates.filter(isTerminal);
