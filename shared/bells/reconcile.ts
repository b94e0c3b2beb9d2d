/** Rings for work whose bell is overdue (invariant 2): tasks first, since they are what webhooks tell of. */
import type { Db } from '../db/database.ts';
import { ringForOverdueDeliveries, ringForOverdueTurns } from '../db/reconcile.ts';
import type { Ringer } from './ringer.ts';

const batch = 500;

/** One pass. @returns whether there may be more */
export async function reconcile(parts: { db: Db; ringer: Ringer; graceSeconds: number }): Promise<boolean> {
  const { db, ringer, graceSeconds } = parts;
  let more = false;
  for (const ringForOverdue of [ringForOverdueTurns, ringForOverdueDeliveries]) {
    const { bells, looked } = await ringForOverdue(db, { limit: batch, graceSeconds });
    await ringer.ringAll(bells);
    more ||= looked === batch;
  }
  return more;
}
