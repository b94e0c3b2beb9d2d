/** The statements whose plans are checked: those that calls and loops of the services send, and reports for operators. */
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { cancelOrphans } from '#shared/db/children/cancel.ts';
import { readFeedPage } from '#shared/db/events/feed-page.ts';
import { readEvents, readLogPosition, tailEvents } from '#shared/db/events/read.ts';
import { readFailingHosts } from '#shared/db/ops/hosts.ts';
import { countOutcomes } from '#shared/db/ops/outcomes.ts';
import { readWork, workKinds } from '#shared/db/ops/work.ts';
import { readBacklog } from '#shared/db/outbox/backlog.ts';
import { wakeStalledDeliveries } from '#shared/db/outbox/reconcile.ts';
import { createUsageReader } from '#shared/db/owners/usage.ts';
import { createEnqueue } from '#shared/db/queue/enqueue.ts';
import { reportUnservedTurns } from '#shared/db/queue/unserved.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { expireTasks } from '#shared/db/tasks/expire.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { createTaskLister, type ListFilter } from '#shared/db/tasks/list.ts';
import { findSend, readTaskSnapshot } from '#shared/db/tasks/read.ts';
import { deleteEndedTasks, deleteTasks } from '#shared/db/tasks/retention.ts';
import { searchTasks } from '#shared/db/tasks/search.ts';
import { readTaskStats } from '#shared/db/tasks/stats.ts';
import { readTimeline } from '#shared/db/tasks/timeline.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { takeDeliveries } from '#shared/db/webhooks/attempts/take.ts';
import { listOwnWebhooks } from '#shared/db/webhooks/health.ts';
import { readDeliveryStats } from '#shared/db/webhooks/stats.ts';
import { createReconciler } from '#shared/outbox/reconciler.ts';
import { relayOutbox } from '#shared/outbox/relay.ts';
import { newFollowUp, newTask, newTurnEnd, newWebhook } from '../../../../support/database/new-task.ts';
import type { Statements } from './plans.ts';
import { largeOwner, longContext } from './preload/seed.ts';
import { claimOptions, idleOutbox, quietConfig, writeOptions } from './statements.ts';

const caller = { tenant: '', owner: largeOwner };
const page = { options: { historyLength: 0, includeArtifacts: false }, size: 50 };
const list = (filter: ListFilter) => ({ caller, filter, ...page });

export const checkedStatements: Statements = {
  'the life of a task': async (db) => {
    const task = newTask({ owner: largeOwner, contextId: longContext, webhook: newWebhook({ id: 'c' }) });
    const { taskId } = task;
    await createAccept(db, writeOptions)(task);
    await findSend(db, caller, task.messageId);
    await createEnqueue(db, writeOptions)(taskId);
    const claimed = await createClaim(db, claimOptions)(taskId);
    if (claimed.kind !== 'claimed') throw new Error(`not claimed: ${claimed.kind}`);
    const { lease } = claimed;
    const write = createTurnWriter(db, writeOptions);
    const step = { name: 's', occurrence: 0, position: 0, inputHash: null, output: '1' };
    await write({ lease, events: [{ kind: 'progress', payload: '{}' }], steps: [step] });
    await write({ lease, finish: newTurnEnd(taskId, 'TASK_STATE_INPUT_REQUIRED') });
    await acceptFollowUp(db, writeOptions, { ...newFollowUp(taskId), ...caller });
    await cancelTask(db, writeOptions, taskId);
    await readTaskSnapshot(db, caller, taskId);
    await readTimeline(db, caller, taskId);
    await readEvents(db, taskId, 0, 32);
    await takeDeliveries(db, 1, { wakeups: 0, limit: 1, exceptOwners: [] });
    await deleteTasks(db, [taskId]);
    await db.deleteFrom('outbox').where('task_id', '=', taskId).execute();
  },
  'the follower': async (db) => {
    await tailEvents(db, await readLogPosition(db), [randomUUID()]);
    await readFeedPage(db, [caller], { from: await readLogPosition(db) });
  },
  'lists, all': async (db) => void (await createTaskLister(db)(list({}))),
  'lists, by state': async (db) => void (await createTaskLister(db)(list({ state: 'TASK_STATE_FAILED' }))),
  'lists, by context': async (db) => void (await createTaskLister(db)(list({ contextId: longContext }))),
  'lists, by time': async (db) =>
    void (await createTaskLister(db)(list({ statusSince: new Date(Date.now() - 86_400_000) }))),
  'the search': (db) => searchTasks(db, caller, { error: 'none' }, { size: 50 }),
  'the search for webhooks': (db) => searchTasks(db, caller, { webhook: 'failing' }, { size: 50 }),
  'the list of webhooks': (db) => listOwnWebhooks(db, caller, { health: ['ok', 'disabled'] }, { size: 50 }),
  'the stats of an owner': (db) => readTaskStats(db, caller),
  'the usage of an owner': (db) => createUsageReader(db)({ owner: largeOwner, maxOpenTasks: 10_000 }),
  'the reconciler': async (db) => {
    await createReconciler({ db, outbox: idleOutbox, config: quietConfig, log: pino({ enabled: false }) })();
    // A pass that finds nothing for them leaves these out.
    const options = { limit: 100, graceSeconds: 60, wakeupGraceSeconds: 60 };
    await expireTasks(db, { ...options, interruptedExpirySeconds: quietConfig.interruptedExpirySeconds });
    await cancelOrphans(db, options);
    await reportUnservedTurns(db, options);
    await wakeStalledDeliveries(db, options);
  },
  'the relay': (db) => relayOutbox({ db, outbox: idleOutbox }),
  retention: (db) => deleteEndedTasks(db, { limit: 100, retentionSeconds: 79.9 * 86_400 }),
  'the backlog': (db) => readBacklog(db),
  'the report of webhooks': (db) => readDeliveryStats(db, 1),
  'the report of hosts': (db) => readFailingHosts(db),
  'the report of outcomes': (db) => countOutcomes(db, 3_600),
  'the report of work': (db) => Promise.all(workKinds.map((kind) => readWork(db, kind, 100))),
};
