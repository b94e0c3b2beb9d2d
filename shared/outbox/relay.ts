/**
 * Rings the bells that nobody rang (invariant 2): their writer died after its commit, or the service that takes them
 * was away. Rows that are rung are removed; the others are free again when the claim runs out.
 */
import { claimUnrungBells } from '../db/outbox/outbox.ts';
import type { Db } from '../db/client/pool.ts';
import { passFaultPoint } from '../runtime/fault-points.ts';
import { instruments } from '../runtime/instruments.ts';
import type { Ringer } from './publisher.ts';

const batch = 500;
const claimSeconds = 15;

/** One pass. @returns whether there may be more */
export async function relayBells(parts: { db: Db; ringer: Ringer }): Promise<boolean> {
  const bells = await claimUnrungBells(parts.db, batch, claimSeconds);
  if (bells.length > 0) {
    passFaultPoint('bells-claimed');
    instruments.overdueFound.record(bells.length, { 'longhaul.overdue.kind': 'bells' });
  }
  await parts.ringer.ringAll(bells);
  return bells.length === batch;
}
