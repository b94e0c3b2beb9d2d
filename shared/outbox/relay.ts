/**
 * Rings the wakeups that nobody rang (invariant 2): their writer died after its commit, or the service that takes them
 * was away. Rows that are rung are removed; the others are free again when the claim runs out.
 */
import { claimUnpublishedWakeups } from '../db/outbox/outbox.ts';
import type { Db } from '../db/client/pool.ts';
import { passFaultPoint } from '../runtime/fault-points.ts';
import { instruments } from '../runtime/instruments.ts';
import type { OutboxPublisher } from './publisher.ts';

const batch = 500;
const claimSeconds = 15;

/** One pass. @returns whether there may be more */
export async function relayOutbox(parts: { db: Db; outbox: OutboxPublisher }): Promise<boolean> {
  const wakeups = await claimUnpublishedWakeups(parts.db, batch, claimSeconds);
  if (wakeups.length > 0) {
    passFaultPoint('wakeups-claimed');
    instruments.reconcilerFound.record(wakeups.length, { 'longhaul.reconciler.kind': 'wakeups' });
  }
  await parts.outbox.publishAll(wakeups);
  return wakeups.length === batch;
}
