/**
 * One look at what is overdue (invariant 2), from what is felt soonest to what may wait: tasks to be run, tasks to be
 * ended, webhooks, and what is old enough to be removed.
 */
import type { Db } from '../db/client/pool.ts';
import { failOverdueTasks } from '../db/tasks/expire.ts';
import { ringForOverdueDeliveries, ringForOverdueTurns } from '../db/outbox/reconcile.ts';
import { removeExpiredSends, removeOldTasks } from '../db/tasks/retention.ts';
import type { BellConfig } from '../runtime/config/common.ts';
import { instruments } from '../runtime/instruments.ts';
import type { Logger } from '../runtime/log.ts';
import type { Ringer } from './publisher.ts';

const batch = 500;
/** A removal takes a row from each of nine tables. */
const removalBatch = 100;

/** One pass. @returns whether there may be more */
export async function reconcile(parts: {
  db: Db;
  ringer: Ringer;
  config: BellConfig;
  log: Logger;
}): Promise<boolean> {
  const { db, ringer, config, log } = parts;
  const { bellGraceSeconds, interruptedExpirySeconds, retentionSeconds } = config;
  const found: Record<string, number> = {};
  let more = false;
  const looks = {
    turns: () => ringForOverdueTurns(db, { limit: batch, graceSeconds: bellGraceSeconds }),
    ended: () => failOverdueTasks(db, { limit: batch, bellGraceSeconds, interruptedExpirySeconds }),
    deliveries: () => ringForOverdueDeliveries(db, { limit: batch, graceSeconds: bellGraceSeconds }),
  };
  for (const [name, look] of Object.entries(looks)) {
    const { bells, looked } = await look();
    await ringer.ringAll(bells);
    if (looked > 0) {
      found[name] = looked;
      instruments.overdueFound.record(looked, { 'longhaul.overdue.kind': name });
    }
    more ||= looked >= batch;
  }
  if (retentionSeconds > 0) {
    const removed = await removeOldTasks(db, { limit: removalBatch, retentionSeconds });
    if (removed > 0) found['removed'] = removed;
    more ||= removed === removalBatch;
  }
  more = (await removeExpiredSends(db, batch)) === batch || more;
  if (Object.keys(found).length > 0) log.info(found, 'overdue work was found');
  return more;
}
