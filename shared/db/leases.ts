/**
 * Leases on turns: who may run what. The gate (invariant 3) is updated first; each claim raises its fence. Times are
 * the database's.
 */
import { sql, type RawBuilder, type Transaction } from 'kysely';
import { bellsOf, freshClaim, type Bell, type BellColumns } from './bells.ts';
import { combine } from './combiner.ts';
import type { Db } from './database.ts';
import { deliveriesOf, fewRows, isRunnable, notifyFollowers } from './fragments.ts';
import type { Database } from './schema.ts';

/** The right to run one turn of one task, until the lease runs out or the fence is raised. */
export interface Lease {
  taskId: string;
  turn: number;
  fence: number;
}

export interface Claimed {
  kind: 'claimed';
  lease: Lease;
  /** How often this turn was begun since its last recorded step, this time included. */
  attempts: number;
  bells: Bell[];
}

/**
 * - `leased`: another worker has the task
 * - `idle`: nothing is to be done: the task is waiting for input, at its end, gone, or not due before its own bell
 */
export type ClaimResult = Claimed | { kind: 'leased' } | { kind: 'idle' };

export type Claim = (taskId: string) => Promise<ClaimResult>;

export interface LeaseOptions {
  worker: string;
  leaseSeconds: number;
  bellGraceSeconds: number;
}

export function claimTurns(db: Db, options: LeaseOptions): Claim {
  return combine(
    async (taskIds: readonly string[]) => {
      const results = await claim(db, options, taskIds);
      return taskIds.map((taskId): ClaimResult => results.get(taskId) ?? { kind: 'idle' });
    },
    { max: 128, lanes: 2, key: (taskId) => taskId },
  );
}

async function claim(
  db: Db,
  options: LeaseOptions,
  taskIds: readonly string[],
): Promise<Map<string, ClaimResult>> {
  const now = new Date().toISOString();
  // The row that the statement began with (seen) and the row as it is when its lock is had (g) must agree on the
  // webhook configs: a config made in between would otherwise miss this event. Who fails that check tries again.
  const { rows } = await sql<
    {
      task_id: string;
      claimed: boolean;
      leased: boolean;
      claimable: boolean;
      fence: number;
      turn: number;
      attempts: number;
    } & BellColumns
  >`-- prepared
    with input as (
      select task_id from unnest(${taskIds.toSorted()}::uuid[]) as input (task_id) ${fewRows(taskIds.length)}
    ),
    gate as (
      update gates g
      set fence = g.fence + 1, lease_until = now() + ${options.leaseSeconds} * interval '1 second',
        worker = ${options.worker}, attempts = g.attempts + 1, last_event = g.last_event + (g.fence = 0)::int
      from input join gates seen on seen.task_id = input.task_id
      where g.task_id = input.task_id and ${isRunnable} and g.run_at <= now()
        and (g.lease_until is null or g.lease_until < now()) and g.config_rev = seen.config_rev
      returning g.task_id, g.fence, g.turn, g.attempts, g.last_event, g.config_rev
    ),
    task as (
      update tasks t set state = 'TASK_STATE_WORKING', status_at = ${now}::timestamptz
      from gate where t.id = gate.task_id and gate.fence = 1
      returning t.id, t.context_id
    ),
    new_event as (
      select gate.task_id, gate.last_event as seq, 'state' as kind, false as settles,
        json_build_object('statusUpdate', json_build_object(
          'taskId', gate.task_id, 'contextId', task.context_id,
          'status', json_build_object('state', 'TASK_STATE_WORKING', 'timestamp', ${now}::text)
        )) as payload, gate.config_rev
      from gate join task on task.id = gate.task_id
    ),
    event as (
      insert into events (task_id, seq, kind, payload) select task_id, seq, kind, payload from new_event
    ),
    ${deliveriesOf(options.bellGraceSeconds)},
    bell as (
      insert into outbox (kind, task_id, config_id, claimed_until)
      select distinct 'delivery', task_id, config_id, now() + ${freshClaim} from delivery
      returning id, task_id, config_id
    )
    select input.task_id, gate.task_id is not null as claimed, gate.fence, gate.turn, gate.attempts,
      coalesce(seen.lease_until >= now(), false) as leased,
      coalesce(seen.state_class = 0 and seen.run_at <= now(), false) as claimable,
      null as bell_id,
      (select json_agg(json_build_object('id', bell.id::text, 'config_id', bell.config_id))
        from bell where bell.task_id = input.task_id) as delivery_bells,
      ${notifyFollowers}
    from input left join gate on gate.task_id = input.task_id left join gates seen on seen.task_id = input.task_id`.execute(
    db,
  );
  const results = new Map<string, ClaimResult>();
  const again: string[] = [];
  for (const row of rows) {
    if (row.claimed) {
      const lease = { taskId: row.task_id, turn: row.turn, fence: row.fence };
      const bells = bellsOf(row, row.task_id, row.turn, null);
      results.set(row.task_id, { kind: 'claimed', lease, attempts: row.attempts, bells });
    } else if (row.claimable && row.leased) {
      results.set(row.task_id, { kind: 'leased' });
    } else if (row.claimable) {
      again.push(row.task_id);
    } else {
      results.set(row.task_id, { kind: 'idle' });
    }
  }
  // It looked free when the statement began and was not had: someone else changed it meanwhile. Look again.
  if (again.length > 0) {
    for (const [taskId, result] of await claim(db, options, again)) results.set(taskId, result);
  }
  return results;
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
