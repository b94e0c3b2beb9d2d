/** The rows that name an owner without belonging to one of its tasks. */
import { sql } from 'kysely';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';

/**
 * Deletes what remains of an owner without tasks in any tenant: its sums, its webhook traffic and its queue. Limits
 * that an operator has set for it stay.
 */
export async function deleteTracesOfOwner(db: Db, owner: string): Promise<void> {
  await sql`
    with old_usage as (delete from owner_usage where owner = ${owner}),
      old_bytes as (delete from webhook_usage where owner = ${owner})
    delete from webhook_requests where owner = ${owner}`.execute(db);
  await runTransaction(db, async (trx) => {
    // The next statement sees every turn that was put into the queue before it was locked.
    await sql`select from turn_queues where owner = ${owner} for update`.execute(trx);
    await sql`
      delete from turn_queues where owner = ${owner}
        and not exists (select from queued_turns where owner = ${owner})`.execute(trx);
  });
}
