/**
 * Removal of tasks with all that hangs on them: of those that ended long ago, and of all that an owner has. In batches,
 * so that no statement holds others up. A worker that runs a removed task finds its gate gone, and stops.
 */
import { sql, type RawBuilder } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import type { Db } from '../client/pool.ts';

/**
 * Removes tasks that ended before a time and have nothing left to deliver.
 *
 * @returns how many; as many as the limit: there may be more
 */
export function deleteEndedTasks(
  db: Db,
  options: { limit: number; retentionSeconds: number },
): Promise<number> {
  return removeTasks(
    db,
    sql`
      select g.task_id from gates g
      where g.state_class = ${stateClass.terminal}
        and g.wakeup_at < now() - ${options.retentionSeconds} * interval '1 second'
        and not exists (select from deliveries d where d.task_id = g.task_id and d.state = 'pending')
      order by g.wakeup_at limit ${options.limit} for update skip locked`,
  );
}

/** Removes tasks of an owner, whatever their state. */
export function deleteTasksOfOwner(
  db: Db,
  caller: { tenant: string; owner: string },
  limit: number,
): Promise<number> {
  return removeTasks(
    db,
    sql`
      select g.task_id from gates g join tasks t on t.id = g.task_id
      where t.tenant = ${caller.tenant} and t.owner = ${caller.owner}
      limit ${limit} for update of g`,
  );
}

/** Removes what is remembered of an owner's messages. */
export async function deleteSendsOfOwner(db: Db, caller: { tenant: string; owner: string }): Promise<void> {
  await db
    .deleteFrom('sends')
    .where('tenant', '=', caller.tenant)
    .where('owner', '=', caller.owner)
    .execute();
}

/** Removes the memory of messages whose window is over. */
export async function deleteExpiredSends(db: Db, limit: number): Promise<number> {
  const { rows } = await sql`
    delete from sends where (tenant, owner, message_id) in (
      select tenant, owner, message_id from sends where expires_at < now()
      order by expires_at limit ${limit} for update skip locked
    ) returning 1`.execute(db);
  return rows.length;
}

async function removeTasks(db: Db, which: RawBuilder<unknown>): Promise<number> {
  const { rows } = await sql<{ removed: number }>`
    with gone as materialized (${which}),
      events_gone as (delete from events where task_id in (select task_id from gone)),
      artifacts_gone as (delete from artifacts where task_id in (select task_id from gone)),
      messages_gone as (delete from messages where task_id in (select task_id from gone)),
      files_gone as (delete from files where task_id in (select task_id from gone)),
      steps_gone as (delete from steps where task_id in (select task_id from gone)),
      attempts_gone as (delete from delivery_attempts where task_id in (select task_id from gone)),
      deliveries_gone as (delete from deliveries where task_id in (select task_id from gone)),
      configs_gone as (delete from webhook_configs where task_id in (select task_id from gone)),
      places_gone as (delete from quota_places where task_id in (select task_id from gone)),
      tasks_gone as (delete from tasks where id in (select task_id from gone)),
      gates_gone as (delete from gates where task_id in (select task_id from gone) returning task_id)
    select count(*)::int as removed from gates_gone`.execute(db);
  return rows[0]?.removed ?? 0;
}
