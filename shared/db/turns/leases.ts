/** Leases on turns: which worker may run a turn, and until when. Times are those of the database. */
import { sql, type RawBuilder, type Transaction } from 'kysely';
import { fewRows, seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { int, rows, uuid } from '../client/rows.ts';
import type { Database } from '../schema/schema.ts';

/** The right to run one turn of one task, until the lease expires or the fence is raised. */
export interface Lease {
  taskId: string;
  turn: number;
  fence: number;
}

/**
 * Whether a gate `g` that was found by its key is runnable. The sum keeps the planner from using the partial
 * index of runnable gates, which would read all of them.
 */
export const isRunnable = sql`g.state_class + 0 = 0`;

/**
 * Extends leases.
 *
 * @returns the task ids of the leases that are still held; the others are lost
 */
export async function extendLeases(
  db: Db,
  leases: readonly Lease[],
  leaseSeconds: number,
): Promise<Set<string>> {
  // In the order of their ids, so that two statements never deadlock.
  const sorted = leases.toSorted((a, b) => (a.taskId < b.taskId ? -1 : 1));
  const result = await sql<{ task_id: string }>`-- prepared
    update gates g set lease_until = now() + ${seconds(leaseSeconds)}
    from ${leaseRows(sorted)}
    where g.task_id = lease.task_id and g.fence = lease.fence and ${isRunnable} and g.lease_until is not null
    returning g.task_id`.execute(db);
  return new Set(result.rows.map((row) => row.task_id));
}

/** Returns the task ids of those leases that are still held. */
export async function findHeldLeases(db: Db, leases: readonly Lease[]): Promise<Set<string>> {
  return selectHeld(db, leases, sql``);
}

/**
 * Returns the task ids of those leases that are still held, and locks their gates until the transaction ends.
 */
export async function lockHeldLeases(
  trx: Transaction<Database>,
  leases: readonly Lease[],
): Promise<Set<string>> {
  return selectHeld(trx, leases, sql`order by g.task_id for no key update of g`);
}

async function selectHeld(
  db: Db,
  leases: readonly Lease[],
  locking: RawBuilder<unknown>,
): Promise<Set<string>> {
  const result = await sql<{ task_id: string }>`
    select g.task_id from gates g
    join ${leaseRows(leases)} on g.task_id = lease.task_id and g.fence = lease.fence
    where ${isRunnable} ${locking}`.execute(db);
  return new Set(result.rows.map((row) => row.task_id));
}

function leaseRows(leases: readonly Lease[]): RawBuilder<unknown> {
  const input = rows('lease', leases, {
    task_id: uuid((lease) => lease.taskId),
    fence: int((lease) => lease.fence),
  });
  return sql`(${input} ${fewRows(leases.length)}) lease`;
}
