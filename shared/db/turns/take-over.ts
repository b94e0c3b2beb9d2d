/**
 * Taking over leases that have expired. After an outage of the database they are first left to their holders, which could not
 * extend them. A worker that has just started knows of no outage, and so assumes one. Leases of workers that are known to be
 * dead (heartbeats.ts) are taken over at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { sql, type RawBuilder } from 'kysely';
import { seconds } from '../client/fragments.ts';

/**
 * How long leases that have expired are left to their holders after an outage. A holder extends its leases within half a
 * second of the database's return.
 */
export const holdersFirstMs = 3_000;

const checkMs = 500;

/** The result for a lease that has expired, and is left to its holder. */
export const holderFirst = Symbol('holder first');

/** Repeats a claim until its holder has extended the lease, or has had the time to. */
export async function retryWhileHolderFirst<T>(claim: () => Promise<T | typeof holderFirst>): Promise<T> {
  for (;;) {
    const result = await claim();
    if (result !== holderFirst) return result;
    await sleep(checkMs);
  }
}

/** Whether the expired lease of a gate `g` may be taken over. */
export function mayTakeOverFrom(anyWorker: boolean): RawBuilder<boolean> {
  return sql`(${anyWorker} or not exists (select from worker_heartbeats h where h.worker = g.worker))`;
}

/**
 * The CTE `taken_over` for claims: the expired leases of a CTE `unlocked (task_id, fence, lease_until)` of locked
 * gates that no holder has extended meanwhile.
 */
export function takeOverLeases(leaseSeconds: number): RawBuilder<unknown> {
  return sql`
    taken_over as (
      insert into extended_leases as l (task_id, fence, lease_until)
      select task_id, fence + 1, now() + ${seconds(leaseSeconds)} from unlocked where lease_until is not null
      on conflict (task_id) do update set fence = excluded.fence, lease_until = excluded.lease_until
        where l.fence <> excluded.fence - 1 or l.lease_until < now()
      returning task_id
    )`;
}
