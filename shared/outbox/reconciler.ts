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
import { findWork } from '../db/outbox/find-work.ts';
import type { OutboxConfig } from '../runtime/config/common.ts';
import { instruments } from '../runtime/instruments.ts';
import type { Logger } from '../runtime/log.ts';
import type { OutboxPublisher } from './publisher.ts';

const batch = 500;
/** Smaller, because deleting a task removes rows from many tables. */
const deletionBatch = 100;

/** Retention removes tasks all the time. It is logged once in this time. */
const retentionLogMs = 60_000;

interface ReconcilerParts {
  db: Db;
  outbox: OutboxPublisher;
  config: OutboxConfig;
  log: Logger;
}

/** Returns a function that does one step of a pass, and returns whether there may be more to do. */
export function createReconciler(parts: ReconcilerParts): () => Promise<boolean> {
  const { log } = parts;
  let removed = 0;
  let removedSince = 0;
  let loggedAt = -Infinity;
  return async () => {
    const { found, deleted, mayHaveMore } = await reconcile(parts);
    const now = performance.now();
    if (removed === 0) removedSince = now;
    removed += deleted;
    const isEnd = !mayHaveMore || now - removedSince >= retentionLogMs;
    if (removed > 0 && isEnd && now - loggedAt >= retentionLogMs) {
      found['deleted_tasks'] = removed;
      removed = 0;
      loggedAt = now;
    }
    if (Object.keys(found).length > 0) log.info({ found }, 'reconciler found work');
    return mayHaveMore;
  };
}

async function reconcile(
  parts: ReconcilerParts,
): Promise<{ found: Record<string, number>; deleted: number; mayHaveMore: boolean }> {
  const { db, outbox, config } = parts;
  const { wakeupGraceSeconds, interruptedExpirySeconds, retentionSeconds } = config;
  const found: Record<string, number> = {};
  let mayHaveMore = false;
  const work = await findWork(db, { interruptedExpirySeconds, retentionSeconds });
  const checks = {
    stalled_turns: () =>
      // Until after the next pass of this process.
      wakeStalledTurns(db, {
        limit: batch,
        graceSeconds: wakeupGraceSeconds,
        aheadSeconds: (1.5 * config.reconcileMs) / 1000,
      }),
    ...(work.expiredTasks && {
      expired_tasks: () => expireTasks(db, { limit: batch, wakeupGraceSeconds, interruptedExpirySeconds }),
    }),
    late_parents: () => signalLateParents(db, { limit: batch, graceSeconds: wakeupGraceSeconds }),
    // Parents that have just expired are among them.
    ...((work.endedParents || work.expiredTasks) && {
      orphaned_children: () => cancelOrphans(db, { limit: batch, wakeupGraceSeconds }),
    }),
    ...(work.unservedTurns && {
      unserved_turns: () => reportUnservedTurns(db, { limit: batch, wakeupGraceSeconds }),
    }),
    ...(work.lateDeliveries && {
      stalled_deliveries: () => wakeStalledDeliveries(db, { limit: batch, graceSeconds: wakeupGraceSeconds }),
    }),
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
  const deleted = work.oldTasks ? await deleteEndedTasks(db, { limit: deletionBatch, retentionSeconds }) : 0;
  mayHaveMore ||= deleted === deletionBatch;
  await deleteExpiredLeases(db);
  mayHaveMore = (await deleteExpiredSends(db, batch)) === batch || mayHaveMore;
  return { found, deleted, mayHaveMore };
}
