/**
 * Takes wake-ups of deliveries from the outbox, for a dispatcher that has room. Their writers then need no Cloud Task
 * for them, and the first attempt starts as soon as the commit is done.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { isPassing } from '../../client/errors.ts';
import { fewRows } from '../../client/fragments.ts';
import type { Db } from '../../client/pool.ts';
import { repeatUntil } from '../../client/repeat.ts';
import {
  claimDeliveries,
  claimFrom,
  maxRepeatMs,
  toResults,
  type ClaimedQueue,
  type ClaimOptions,
} from './claim.ts';
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
export async function takeDeliveries(db: Db, leaseSeconds: number, request: TakeRequest): Promise<Taken> {
  const options = { claimId: randomUUID(), leaseSeconds };
  try {
    return await take(db, options, request);
  } catch (error) {
    if (!isPassing(error)) throw error;
  }
  const until = performance.now() + maxRepeatMs;
  const queues = await repeatUntil(until, () => findTaken(db, options, request.limit));
  return { taken: request.wakeups, queues };
}

interface Taken {
  taken: number;
  queues: Map<string, ClaimedQueue>;
}

async function take(
  db: Db,
  options: ClaimOptions,
  { wakeups, limit, exceptOwners }: TakeRequest,
): Promise<Taken> {
  const { rows } = await sql<(ClaimRow | { task_id: null }) & { taken: number }>`-- prepared, quick
    with picked as materialized (
      select id from outbox
      where kind = 'delivery' and due_at <= now() and (owner is null or owner <> all(${exceptOwners}::text[]))
      order by id limit ${wakeups}::int for update skip locked
    ),
    taken as (delete from outbox using picked where outbox.id = picked.id returning outbox.task_id, outbox.config_id),
    input as (select distinct task_id, config_id, ${limit}::int as max from taken ${fewRows(wakeups)}),
    ${claimFrom(options)}
    select counted.taken, claim.*
    from (select count(*)::int as taken from taken) counted left join (${selectClaimed}) claim on true`.execute(
    db,
  );
  const claimed = rows.filter((row): row is ClaimRow & { taken: number } => row.task_id !== null);
  const queues = await toResults(db, options, claimed, () => limit);
  return { taken: rows[0]?.taken ?? 0, queues };
}

/** Claims again what a take has claimed whose answer was lost. Reads all pending deliveries: this is rare. */
async function findTaken(db: Db, options: ClaimOptions, limit: number): Promise<Map<string, ClaimedQueue>> {
  const rows = await db
    .selectFrom('deliveries')
    .select(['task_id as taskId', 'config_id as configId'])
    .distinct()
    .where('state', '=', 'pending')
    .where('claim_id', '=', options.claimId)
    .execute();
  return claimDeliveries(
    db,
    options,
    rows.map((key) => ({ ...key, limit })),
  );
}
