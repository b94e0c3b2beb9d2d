/** Leases on turns: who may run what, and for how long still. Times are the database's. */
import { sql, type RawBuilder, type Transaction } from 'kysely';
import type { Db } from '../client/pool.ts';
import { fewRows, isRunnable } from '../events/fan-out.ts';
import type { Database } from '../schema/schema.ts';

/** The right to run one turn of one task, until the lease runs out or the fence is raised. */
export interface Lease {
  taskId: string;
  turn: number;
  fence: number;
}

/**
 * Extends leases.
 *
 * @returns the task ids of those that are still held; the others are lost
 */
export async function extendLeases(
  db: Db,
  leases: readonly Lease[],
  leaseSeconds: number,
): Promise<Set<string>> {
  const sorted = leases.toSorted((a, b) => (a.taskId < b.taskId ? -1 : 1));
  const { rows } = await sql<{ task_id: string }>`-- prepared
    update gates g set lease_until = now() + ${leaseSeconds} * interval '1 second'
    from ${heldOf(sorted)}
    where g.task_id = held.task_id and g.fence = held.fence and ${isRunnable} and g.lease_until is not null
    returning g.task_id`.execute(db);
  return new Set(rows.map((row) => row.task_id));
}

/** The task ids of those leases that nobody has taken over or ended; writes nothing. */
export async function heldLeases(db: Db, leases: readonly Lease[]): Promise<Set<string>> {
  return selectHeld(db, leases, sql``);
}

/** The same, and nobody changes their gates until the transaction ends. */
export async function lockHeldLeases(
  trx: Transaction<Database>,
  leases: readonly Lease[],
): Promise<Set<string>> {
  return selectHeld(trx, leases, sql`order by g.task_id for no key update of g`);
}

async function selectHeld(db: Db, leases: readonly Lease[], locking: RawBuilder<unknown>) {
  const { rows } = await sql<{ task_id: string }>`
    select g.task_id from gates g join ${heldOf(leases)} on g.task_id = held.task_id and g.fence = held.fence
    where ${isRunnable} ${locking}`.execute(db);
  return new Set(rows.map((row) => row.task_id));
}

function heldOf(leases: readonly Lease[]) {
  return sql`(
    select * from unnest(${leases.map((lease) => lease.taskId)}::uuid[], ${leases.map((lease) => lease.fence)}::int[])
      as held (task_id, fence) ${fewRows(leases.length)}
  ) held`;
}
