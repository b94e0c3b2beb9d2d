/**
 * Takes wake-ups of deliveries from the outbox, for a dispatcher that has room. Their writers then need no Cloud Task
 * for them, and the first attempt starts as soon as the commit is done.
 */
import { sql } from 'kysely';
import type { Db } from '../../client/pool.ts';
import { claimFrom, toResults, type ClaimedQueue } from './claim.ts';
import { selectClaimed, type ClaimRow } from './claim-rows.ts';

export interface TakeRequest {
  /** At most this many wake-ups are taken. */
  wakeups: number;
  /** Deliveries to claim of each config. */
  limit: number;
  /** Wake-ups of these owners are left for later. */
  exceptOwners: readonly string[];
}

/**
 * Takes wake-ups that are due from the outbox, and claims the deliveries of their configs in the same statement: if this
 * process dies, what it took is as if it had died in mid-attempt. Safe in many processes at once.
 *
 * @returns `taken`: the number of wake-ups. If it equals the request, there may be more
 */
export async function takeDeliveries(
  db: Db,
  leaseSeconds: number,
  { wakeups, limit, exceptOwners }: TakeRequest,
): Promise<{ taken: number; queues: Map<string, ClaimedQueue> }> {
  const { rows } = await sql<(ClaimRow | { task_id: null }) & { taken: number }>`-- prepared
    with taken as (
      delete from outbox where id = any(array(
        select id from outbox
        where kind = 'delivery' and due_at <= now() and (owner is null or owner <> all(${exceptOwners}::text[]))
        order by id limit ${wakeups}::int for update skip locked
      ))
      returning task_id, config_id
    ),
    input as (select distinct task_id, config_id, ${limit}::int as max from taken),
    ${claimFrom(leaseSeconds)}
    select counted.taken, claim.*
    from (select count(*)::int as taken from taken) counted left join (${selectClaimed}) claim on true`.execute(
    db,
  );
  const claimed = rows.filter((row): row is ClaimRow & { taken: number } => row.task_id !== null);
  const queues = await toResults(db, leaseSeconds, claimed, () => limit);
  return { taken: rows[0]?.taken ?? 0, queues };
}
