/** The limits that operators set for single owners. Services read them through a cache (limits.ts). */
import { sql } from 'kysely';
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';

export type OwnLimits = Partial<OwnerLimits>;

/** An owner's limits before and after a change. Without limits, its row is removed. */
export interface LimitsChange {
  owner: string;
  before: OwnLimits;
  after: OwnLimits;
}

export async function readOwnLimits(db: Db): Promise<Map<string, OwnLimits>> {
  const rows = await db.selectFrom('owner_limits').select(['owner', 'limits']).orderBy('owner').execute();
  return new Map(rows.map(({ owner, limits }) => [owner, limits]));
}

/**
 * Changes the limits of owners. `change` gets what is set for all owners, and returns what to set for them.
 * Commands that run at the same time wait for each other.
 *
 * @param store false: changes nothing
 * @returns the owners whose limits differ
 */
export async function changeOwnLimits(
  db: Db,
  change: (current: ReadonlyMap<string, OwnLimits>) => ReadonlyMap<string, OwnLimits>,
  { store }: { store: boolean },
): Promise<LimitsChange[]> {
  return runTransaction(db, async (trx) => {
    // Services keep reading.
    await sql`lock table owner_limits in share row exclusive mode`.execute(trx);
    const current = await readOwnLimits(trx);
    const wanted = change(current);
    const owners = [...new Set([...current.keys(), ...wanted.keys()])].toSorted();
    const changes = owners
      .map((owner) => ({ owner, before: current.get(owner) ?? {}, after: wanted.get(owner) ?? {} }))
      .filter(({ before, after }) => !isEqual(before, after));
    if (!store) return changes;
    for (const { owner, after } of changes) {
      if (Object.keys(after).length === 0) {
        await trx.deleteFrom('owner_limits').where('owner', '=', owner).execute();
        continue;
      }
      const limits = JSON.stringify(after);
      await trx
        .insertInto('owner_limits')
        .values({ owner, limits })
        .onConflict((conflict) => conflict.column('owner').doUpdateSet({ limits, updated_at: sql`now()` }))
        .execute();
    }
    return changes;
  });
}

function isEqual(a: OwnLimits, b: OwnLimits): boolean {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof OwnLimits>;
  return [...names].every((name) => a[name] === b[name]);
}
