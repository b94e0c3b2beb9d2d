/**
 * Finds stalled and expired work (invariant 2), the most urgent first: turns to run, tasks to end, webhooks
 * to deliver, and finally rows that are old enough to delete.
 */
import type { Db } from '../db/client/pool.ts';
import { cancelOrphans } from '../db/children/cancel.ts';
import { signalLateParents } from '../db/children/signal.ts';
import { expireTasks } from '../db/tasks/expire.ts';
import { reportUnservedTurns } from '../db/queue/unserved.ts';
import { wakeStalledQueues } from '../db/queue/wake.ts';
import { wakeStalledDeliveries, wakeStalledTurns } from '../db/outbox/reconcile.ts';
import { deleteExpiredSends, deleteEndedTasks } from '../db/tasks/retention.ts';
import { deleteExpiredLeases } from '../db/turns/leases.ts';
import type { OutboxConfig } from '../runtime/config/common.ts';
import { instruments } from '../runtime/instruments.ts';
import type { Logger } from '../runtime/log.ts';
import type { OutboxPublisher } from './publisher.ts';

const batch = 500;
/** Smaller, because deleting a task removes rows from many tables. */
const deletionBatch = 100;

/** Runs one pass. Returns whether there may be more to do. */
export async function reconcile(parts: {
  db: Db;
  outbox: OutboxPublisher;
  config: OutboxConfig;
  log: Logger;
}): Promise<boolean> {
  const { db, outbox, config, log } = parts;
  const { wakeupGraceSeconds, interruptedExpirySeconds, retentionSeconds } = config;
  const found: Record<string, number> = {};
  let mayHaveMore = false;
  const checks = {
    stalled_turns: () =>
      // Until after the next pass of this process.
      wakeStalledTurns(db, {
        limit: batch,
        graceSeconds: wakeupGraceSeconds,
        aheadSeconds: (1.5 * config.reconcileMs) / 1000,
      }),
    expired_tasks: () => expireTasks(db, { limit: batch, wakeupGraceSeconds, interruptedExpirySeconds }),
    late_parents: () => signalLateParents(db, { limit: batch, graceSeconds: wakeupGraceSeconds }),
    orphaned_children: () => cancelOrphans(db, { limit: batch, wakeupGraceSeconds }),
    unserved_turns: () => reportUnservedTurns(db, { limit: batch, wakeupGraceSeconds }),
    stalled_deliveries: () => wakeStalledDeliveries(db, { limit: batch, graceSeconds: wakeupGraceSeconds }),
  };
  for (const [kind, check] of Object.entries(checks)) {
    const { wakeups, examined: count } = await check();
    await outbox.publishAll(wakeups);
    if (count > 0) {
      found[kind] = count;
      instruments.reconcilerFound.record(count, { 'longhaul.reconciler.kind': kind });
    }
    mayHaveMore ||= count >= batch;
  }
  // Not counted: a queue may wait for its owner's running turns although nothing was lost.
  const queues = await wakeStalledQueues(db, { limit: batch, graceSeconds: wakeupGraceSeconds });
  await outbox.publishAll(queues.wakeups);
  mayHaveMore ||= queues.examined >= batch;
  if (retentionSeconds > 0) {
    const deleted = await deleteEndedTasks(db, { limit: deletionBatch, retentionSeconds });
    if (deleted > 0) found['deleted_tasks'] = deleted;
    mayHaveMore ||= deleted === deletionBatch;
  }
  await deleteExpiredLeases(db);
  mayHaveMore = (await deleteExpiredSends(db, batch)) === batch || mayHaveMore;
  if (Object.keys(found).length > 0) log.info({ found }, 'reconciler found work');
  return mayHaveMore;
}
