/** The usage of owners by day, for operators. */
import { sql } from 'kysely';
import type { Usage } from '../../domain/usage.ts';
import type { Db } from '../client/pool.ts';
import { ledgerSums, toUsage, type LedgerLine } from '../models/ledger.ts';

export interface OwnerUsageLine extends Usage {
  /** YYYY-MM-DD, in UTC. */
  day: string;
  owner: string;
}

/**
 * Returns a line for each owner and day with usage, over all tenants and models.
 *
 * @param days the first and the last day, both included: YYYY-MM-DD
 * @param limit the number of owners: those with the highest cost
 */
export async function readUsageOfOwners(
  db: Db,
  { since, until }: { since: string; until: string },
  limit: number,
): Promise<OwnerUsageLine[]> {
  const { rows } = await sql<LedgerLine & { day: string; owner: string }>`
    with costly as (
      select owner from ledger where day between ${since}::date and ${until}::date
      group by owner order by sum(cost) desc, sum(calls) desc, owner limit ${limit}
    )
    select to_char(day, 'YYYY-MM-DD') as day, owner, ${ledgerSums}
    from ledger join costly using (owner)
    where day between ${since}::date and ${until}::date
    group by ledger.day, owner order by owner, ledger.day`.execute(db);
  return rows.map(({ day, owner, ...line }) => ({ day, owner, ...toUsage(line) }));
}
