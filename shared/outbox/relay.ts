/**
 * Publishes wake-ups that their writer did not publish (invariant 2), because it died after its commit, or
 * because Pub/Sub or Cloud Tasks was unavailable. Published rows are deleted; the others become claimable
 * again when the claim expires.
 */
import { claimUnpublishedWakeups } from '../db/outbox/outbox.ts';
import type { Db } from '../db/client/pool.ts';
import { passFaultPoint } from '../runtime/fault-points.ts';
import { instruments } from '../runtime/instruments.ts';
import type { OutboxPublisher } from './publisher.ts';

const batch = 500;
const claimSeconds = 15;

/** Runs one pass. Returns whether there may be more to do. */
export async function relayOutbox(parts: { db: Db; outbox: OutboxPublisher }): Promise<boolean> {
  const wakeups = await claimUnpublishedWakeups(parts.db, batch, claimSeconds);
  if (wakeups.length > 0) {
    passFaultPoint('wakeups-claimed');
    instruments.reconcilerFound.record(wakeups.length, { 'longhaul.reconciler.kind': 'unpublished_wakeups' });
  }
  await parts.outbox.publishAll(wakeups);
  return wakeups.length === batch;
}
