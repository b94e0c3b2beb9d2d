/**
 * Leases on turns: which worker may run a turn, and until when. Times are those of the database.
 *
 *   claim ──▶ gates.lease_until ──a third of the lease time later──▶ extended_leases ──▶ extended there again …
 *
 * A claim writes the lease to the gate, so that a short turn costs no further row. Callers lock gates too, so a lease
 * is extended in a table that only workers write, in the order of the keys. An extension and a claim of the same
 * expired lease meet at its row in `extended_leases`: only one of them succeeds.
 */
import { sql, type RawBuilder } from 'kysely';
import { mayConcernOneRow } from '../client/errors.ts';
import { fewRows, seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { int, rows, uuid } from '../client/rows.ts';

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

/** When the lease on a gate `g` ends; null if it has none. */
export const leaseUntil = sql`(case when g.lease_until < now() then greatest(g.lease_until, (
      select l.lease_until from extended_leases l where l.task_id = g.task_id and l.fence = g.fence
    )) else g.lease_until end)`;

/** Whether a gate `g` has no live lease. */
export const isFree = sql`coalesce(${leaseUntil} < now(), true)`;

/** Maximum number of leases that one statement extends, so that it is answered soon, by a busy database too. */
const maxSet = 1_000;

/** Task ids: `held` of leases that are not lost, and `extended` of those among them that were extended. */
export interface ExtendedLeases {
  held: Set<string>;
  extended: Set<string>;
}

/**
 * Extends leases. A lease that cannot be extended now, because a claim has locked it or the database refuses its row,
 * does not affect the others.
 */
export async function extendLeases(
  db: Db,
  leases: readonly Lease[],
  leaseSeconds: number,
): Promise<ExtendedLeases> {
  const all: ExtendedLeases = { held: new Set(), extended: new Set() };
  const extend = async (some: readonly Lease[]): Promise<void> => {
    try {
      const { held, extended } = await extendSet(db, some, leaseSeconds);
      for (const taskId of held) all.held.add(taskId);
      for (const taskId of extended) all.extended.add(taskId);
    } catch (error) {
      if (!mayConcernOneRow(error)) throw error;
      if (some.length > 1) {
        const middle = Math.ceil(some.length / 2);
        await extend(some.slice(0, middle));
        await extend(some.slice(middle));
      } else {
        // Nothing is known of a lease whose row the database refuses.
        for (const { taskId } of some) all.held.add(taskId);
      }
    }
  };
  for (let start = 0; start < leases.length; start += maxSet) {
    await extend(leases.slice(start, start + maxSet));
  }
  return all;
}

async function extendSet(db: Db, leases: readonly Lease[], leaseSeconds: number): Promise<ExtendedLeases> {
  const until = sql`now() + ${seconds(leaseSeconds)}`;
  const result = await sql<{ task_id: string; extended: boolean }>`-- prepared
    with held as (
      select g.task_id, g.fence from ${leaseRows(leases)}
      join gates g on g.task_id = lease.task_id and g.fence = lease.fence
      where ${isRunnable} and g.lease_until is not null
    ),
    -- Does not wait for a claim that takes over one of the leases.
    unlocked as (
      select l.task_id, held.fence from held join extended_leases l on l.task_id = held.task_id
      order by l.task_id for no key update of l skip locked
    ),
    extended as (
      update extended_leases l set fence = unlocked.fence, lease_until = ${until}
      from unlocked where l.task_id = unlocked.task_id and l.fence <= unlocked.fence
      returning l.task_id
    ),
    added as (
      insert into extended_leases (task_id, fence, lease_until)
      select task_id, fence, ${until} from held
      where not exists (select from extended_leases l where l.task_id = held.task_id)
      order by task_id on conflict (task_id) do nothing
      returning task_id
    )
    -- Not joined: their sizes are unknown to the planner, and a nested loop over ten thousand leases takes ten seconds.
    select task_id, false as extended from held
    union all select task_id, true from extended
    union all select task_id, true from added`.execute(db);
  return {
    held: new Set(result.rows.flatMap((row) => (row.extended ? [] : [row.task_id]))),
    extended: new Set(result.rows.flatMap((row) => (row.extended ? [row.task_id] : []))),
  };
}

/** Returns the task ids of those leases that are still held. */
export async function findHeldLeases(db: Db, leases: readonly Lease[]): Promise<Set<string>> {
  const result = await sql<{ task_id: string }>`
    select g.task_id from gates g
    join ${leaseRows(leases)} on g.task_id = lease.task_id and g.fence = lease.fence
    where ${isRunnable}`.execute(db);
  return new Set(result.rows.map((row) => row.task_id));
}

/**
 * Removes the extensions of leases that ended a minute ago. The table is small, so it needs no index for this, which
 * each extension would have to update.
 */
export async function deleteExpiredLeases(db: Db): Promise<void> {
  await sql`
    delete from extended_leases where task_id in (
      select task_id from extended_leases where lease_until < now() - interval '1 minute'
      order by task_id for update skip locked
    )`.execute(db);
}

function leaseRows(leases: readonly Lease[]): RawBuilder<unknown> {
  const sorted = leases.toSorted((a, b) => (a.taskId < b.taskId ? -1 : 1));
  const input = rows('lease', sorted, {
    task_id: uuid((lease) => lease.taskId),
    fence: int((lease) => lease.fence),
  });
  return sql`(${input} ${fewRows(leases.length)}) lease`;
}
