/** Finds and removes what belongs to a task or an owner, for data protection requests. */
import { sql } from 'kysely';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';
import { deleteTasks } from './retention.ts';

export interface Family {
  /** The task that has started this one. */
  parentId: string | undefined;
  /** The tasks that it has started, directly or not. */
  descendants: string[];
}

/** @returns undefined if the task does not exist */
export async function findFamily(db: Db, taskId: string): Promise<Family | undefined> {
  const { rows } = await sql<{ parent: string | null; descendants: string[] }>`
    with recursive below(id) as (
      select unnest(children) from tasks where id = ${taskId}
      union select unnest(t.children) from below join tasks t on t.id = below.id
    )
    select (select parent_id from child_groups g where g.id = t.child_group) as parent,
      array(select id from below) as descendants
    from tasks t where t.id = ${taskId}`.execute(db);
  const [row] = rows;
  return row && { parentId: row.parent ?? undefined, descendants: row.descendants };
}

/**
 * Removes tasks and everything that names them, in one transaction.
 *
 * @returns how many tasks were removed
 */
export async function deleteTaskTree(db: Db, taskIds: readonly string[]): Promise<number> {
  return runTransaction(db, async (trx) => {
    await sql`delete from sends where task_id = any(${taskIds}::uuid[])`.execute(trx);
    await sql`delete from outbox where task_id = any(${taskIds}::uuid[])`.execute(trx);
    return deleteTasks(trx, taskIds);
  });
}

/** Removes the wake-ups of an owner's tasks, which have ids that callers choose. To be run before the tasks are removed. */
export async function deleteWakeupsOfOwner(db: Db, owner: string): Promise<void> {
  await sql`
    delete from outbox where owner = ${owner} or task_id in (select id from tasks where owner = ${owner})`.execute(
    db,
  );
}

/** Returns the tenants in which an owner has anything, and the empty one. */
export async function findTenants(db: Db, owner: string): Promise<string[]> {
  const { rows } = await sql<{ tenant: string }>`
    select tenant from tasks where owner = ${owner} union select tenant from schedules where owner = ${owner}
    union select tenant from sends where owner = ${owner} union select tenant from ledger where owner = ${owner}
    union select ''`.execute(db);
  return rows.map(({ tenant }) => tenant);
}
