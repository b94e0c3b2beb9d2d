/**
 * One look at what is overdue (invariant 2), from what is felt soonest to what may wait: tasks to be run, tasks to be
 * ended, webhooks, and what is old enough to be removed.
 */
import type { Db } from '../db/client/pool.ts';
import { expireTasks } from '../db/tasks/expire.ts';
import { wakeStalledDeliveries, wakeStalledTurns } from '../db/outbox/reconcile.ts';
import { deleteExpiredSends, deleteEndedTasks } from '../db/tasks/retention.ts';
import type { OutboxConfig } from '../runtime/config/common.ts';
import { instruments } from '../runtime/instruments.ts';
import type { Logger } from '../runtime/log.ts';
import type { OutboxPublisher } from './publisher.ts';

const batch = 500;
/** A removal takes a row from each of nine tables. */
const removalBatch = 100;

/** One pass. @returns whether there may be more */
export async function reconcile(parts: {
  db: Db;
  outbox: OutboxPublisher;
  config: OutboxConfig;
  log: Logger;
}): Promise<boolean> {
  const { db, outbox, config, log } = parts;
  const { wakeupGraceSeconds, interruptedExpirySeconds, retentionSeconds } = config;
  const found: Record<string, number> = {};
  let more = false;
  const looks = {
    turns: () => wakeStalledTurns(db, { limit: batch, graceSeconds: wakeupGraceSeconds }),
    ended: () => expireTasks(db, { limit: batch, wakeupGraceSeconds, interruptedExpirySeconds }),
    deliveries: () => wakeStalledDeliveries(db, { limit: batch, graceSeconds: wakeupGraceSeconds }),
  };
  for (const [name, look] of Object.entries(looks)) {
    const { wakeups, examined } = await look();
    await outbox.publishAll(wakeups);
    if (examined > 0) {
      found[name] = examined;
      instruments.reconcilerFound.record(examined, { 'longhaul.reconciler.kind': name });
    }
    more ||= examined >= batch;
  }
  if (retentionSeconds > 0) {
    const removed = await deleteEndedTasks(db, { limit: removalBatch, retentionSeconds });
    if (removed > 0) found['removed'] = removed;
    more ||= removed === removalBatch;
  }
  more = (await deleteExpiredSends(db, batch)) === batch || more;
  if (Object.keys(found).length > 0) log.info(found, 'overdue work was found');
  return more;
}
