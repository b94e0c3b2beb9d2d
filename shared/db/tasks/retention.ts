/**
 * Removes tasks with all their rows: tasks that ended long ago, and all tasks of an owner. Tasks are removed
 * in batches, so that no statement blocks others for long. A worker that runs a removed task loses its lease
 * and stops. Their owners' usage falls with them. Calls that Google has stored for them are deleted by workers.
 */
import { sql, type RawBuilder } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { rememberStoredCalls } from '../models/stored-calls.ts';
import { isPending } from '../webhooks/pending.ts';
import { addUsageRows } from '../owners/usage.ts';
import { ownedBy, type Caller } from './visibility.ts';

/** Gates `g` of tasks that ended longer ago than the retention. */
export const isOld = (retentionSeconds: number) => sql<boolean>`
        g.state_class = ${sql.lit(stateClass.terminal)} and g.settled_at < now() - ${seconds(retentionSeconds)}`;

/**
 * Removes tasks that ended longer ago than the retention and have no pending deliveries.
 *
 * @returns how many; if as many as the limit, there may be more
 */
export function deleteEndedTasks(
  db: Db,
  options: { limit: number; retentionSeconds: number },
): Promise<number> {
  return removeTasks(
    db,
    sql`
      select g.task_id from gates g
      where ${isOld(options.retentionSeconds)}
        and not exists (select from deliveries d where d.task_id = g.task_id and ${isPending})
        -- A parent that has not ended may still read the results of its children.
        and not exists (
          select from tasks t join child_groups cg on cg.id = t.child_group join gates parent on parent.task_id = cg.parent_id
          where t.id = g.task_id and parent.state_class < ${stateClass.terminal}
        )
      order by g.settled_at limit ${options.limit} for update skip locked`,
  );
}

/**
 * Removes tasks of an owner, in any state.
 *
 * @returns how many; if as many as the limit, there may be more
 */
export function deleteTasksOfOwner(db: Db, caller: Caller, limit: number): Promise<number> {
  return removeTasks(
    db,
    sql`
      select g.task_id from gates g join tasks t on t.id = g.task_id
      where ${ownedBy(caller)} limit ${limit} for update of g`,
  );
}

/** Removes tasks, in any state. @returns how many */
export function deleteTasks(db: Db, taskIds: readonly string[]): Promise<number> {
  return removeTasks(db, sql`select task_id from gates where task_id = any(${taskIds}::uuid[]) for update`);
}

/** Removes the record of which messages an owner has sent. */
export async function deleteSendsOfOwner(db: Db, caller: Caller): Promise<void> {
  await db
    .deleteFrom('sends')
    .where('tenant', '=', caller.tenant)
    .where('owner', '=', caller.owner)
    .execute();
}

/**
 * Removes the record of messages whose idempotency window is over.
 *
 * @returns how many; if as many as the limit, there may be more
 */
export async function deleteExpiredSends(db: Db, limit: number): Promise<number> {
  const { rows } = await sql`
    delete from sends where (tenant, owner, message_id) in (
      select tenant, owner, message_id from sends where expires_at < now()
      order by expires_at limit ${limit} for update skip locked
    ) returning 1`.execute(db);
  return rows.length;
}

/** @param selected a query that selects the `task_id` of gates and locks them */
async function removeTasks(db: Db, selected: RawBuilder<unknown>): Promise<number> {
  const { rows } = await sql<{ removed: number }>`
    with removed as materialized (${selected}),
      old_events as (delete from events where task_id in (select task_id from removed)),
      old_artifacts as (delete from artifacts where task_id in (select task_id from removed)),
      old_messages as (delete from messages where task_id in (select task_id from removed)),
      old_files as (delete from files where task_id in (select task_id from removed)),
      old_steps as (
        delete from steps where task_id in (select task_id from removed) returning interaction
      ),
      ${rememberStoredCalls(sql`old_steps`)},
      old_batch_calls as (delete from batch_calls where task_id in (select task_id from removed)),
      old_turn_attempts as (delete from turn_attempts where task_id in (select task_id from removed)),
      old_attempts as (delete from delivery_attempts where task_id in (select task_id from removed)),
      old_deliveries as (delete from deliveries where task_id in (select task_id from removed)),
      old_configs as (
        delete from webhook_configs where task_id in (select task_id from removed) returning task_id
      ),
      old_places as (delete from quota_places where task_id in (select task_id from removed)),
      old_queued as (delete from queued_turns where task_id in (select task_id from removed)),
      old_versions as (delete from version_queue where task_id in (select task_id from removed)),
      old_admitted as (delete from admitted_turns where task_id in (select task_id from removed)),
      old_leases as (delete from extended_leases where task_id in (select task_id from removed)),
      old_groups as (delete from child_groups where parent_id in (select task_id from removed)),
      old_parents as (delete from ended_parents where task_id in (select task_id from removed)),
      old_tasks as (delete from tasks where id in (select task_id from removed) returning id, owner),
      old_gates as (delete from gates where task_id in (select task_id from removed) returning task_id, bytes),
      freed as (
        select t.owner, -sum(g.bytes) as bytes,
          -sum((select count(*) from old_configs c where c.task_id = t.id)) as webhook_configs
        from old_tasks t join old_gates g on g.task_id = t.id group by t.owner
      ),
      usage as (${addUsageRows(sql`freed`)})
    select count(*)::int as removed from old_gates`.execute(db);
  return rows[0]?.removed ?? 0;
}
