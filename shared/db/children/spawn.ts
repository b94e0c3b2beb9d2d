/**
 * Starts the children of a turn, and records the step that starts them, in one statement: a crash never starts a
 * child twice, and leaves none that the record of the turn does not name.
 */
import { sql } from 'kysely';
import { LeaseLostError } from '../../domain/errors.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Db } from '../client/pool.ts';
import { insertOutbox, toTurnWakeup, type TurnWakeupRow } from '../outbox/outbox.ts';
import { inputRows, insertTasks, sealTasks, type NewTask } from '../tasks/accept.ts';
import { isRunnable, type Lease } from '../turns/leases.ts';

export interface Spawn {
  lease: Lease;
  /** Id of the group; the same when the statement is repeated. */
  group: string;
  /** How many generations the children are away from a task that is not a child. */
  depth: number;
  /** The children. They get the priority of their parent, and its deadline unless theirs is earlier. */
  tasks: readonly NewTask[];
  /** The step that records them. */
  step: { name: string; occurrence: number; position: number; output: string };
}

/** Returns the depth of a task: 0 unless it is a child. */
export async function readDepth(db: Db, taskId: string): Promise<number> {
  const { rows } = await sql<{ depth: number }>`
    select cg.depth from tasks t join child_groups cg on cg.id = t.child_group where t.id = ${taskId}`.execute(
    db,
  );
  return rows[0]?.depth ?? 0;
}

/**
 * @returns the wake-ups to publish; none if an earlier call has stored this group
 * @throws {LeaseLostError} if the turn no longer belongs to this worker; nothing was stored
 */
export async function spawnChildren(
  db: Db,
  options: { wakeupGraceSeconds: number; agentVersion?: string | undefined },
  { lease, group, depth, tasks: unsealed, step }: Spawn,
): Promise<Wakeup[]> {
  const tasks = await sealTasks(unsealed);
  const ids = tasks.map(({ taskId }) => taskId);
  const { rows } = await sql<{ stored: boolean } & (TurnWakeupRow | { id: null })>`
    with parent as (
      update gates g set attempts = 1, failures = 0, failing_since = null,
        agent_version = coalesce(${options.agentVersion ?? null}::text, g.agent_version),
        bytes = g.bytes + ${Buffer.byteLength(step.output)}::int
      where g.task_id = ${lease.taskId} and g.fence = ${lease.fence} and ${isRunnable}
        and not exists (select from child_groups where id = ${group})
      returning g.task_id, g.priority, g.deadline_at
    ),
    new_group as (
      insert into child_groups (id, parent_id, size, depth)
      select ${group}::uuid, task_id, ${tasks.length}, ${depth} from parent
    ),
    listed as (
      update tasks t set children = t.children || ${ids}::uuid[] from parent where t.id = parent.task_id
    ),
    step as (
      insert into steps (task_id, turn, name, occurrence, position, output, fence, finished_at)
      select task_id, ${lease.turn}, ${step.name}, ${step.occurrence}, ${step.position}, ${step.output}::json,
        ${lease.fence}, now()
      from parent
    ),
    ${inputRows(tasks)},
    fresh as (
      select input.task_id, tenant, owner, context_id, context_key, opens_context, agent_hash, message, metadata, modes,
        event, status_at, shown, traceparent, start_at, least(input.deadline_at, parent.deadline_at) as deadline_at,
        bytes, parent.priority
      from input cross join parent
    ),
    ${insertTasks(options, sql`0`, sql`${group}`)},
    wakeup as (
      ${insertOutbox({ kind: 'turn', from: sql`fresh`, turn: sql`1`, traceparent: sql`traceparent` })}
      returning id, task_id, turn, owner, traceparent
    )
    -- Returns one row with null columns without a wake-up.
    select exists (select from parent) as stored, wakeup.*
    from (select) single_row left join wakeup on true`.execute(db);
  if (rows[0]?.stored === true) return rows.flatMap((row) => (row.id === null ? [] : [toTurnWakeup(row)]));
  const earlier = await db.selectFrom('child_groups').select('id').where('id', '=', group).executeTakeFirst();
  if (earlier === undefined) throw new LeaseLostError(`lost the lease on task ${lease.taskId}`);
  return [];
}
