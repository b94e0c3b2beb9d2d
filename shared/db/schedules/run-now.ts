/** Starts a task of a schedule at once, even if the schedule is paused or its previous task is open. */
import { databaseNow } from '../../runtime/clock.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';
import { acceptTasks } from '../tasks/accept.ts';
import type { Caller } from '../tasks/visibility.ts';
import { recordFirings } from './firings.ts';
import { loadKeys, lockSchedule } from './store.ts';
import { createScheduledTask, type CopyWebhook, type CurrentAgent } from './task.ts';

/** @returns undefined if the caller has no such schedule */
export async function runScheduleNow(
  db: Db,
  caller: Caller,
  id: string,
  parts: { agent: CurrentAgent; copyWebhook: CopyWebhook; wakeupGraceSeconds: number },
): Promise<{ taskId: string; wakeups: Wakeup[] } | undefined> {
  const { agent, copyWebhook, wakeupGraceSeconds } = parts;
  await loadKeys(db, caller, id);
  return runTransaction(db, async (trx) => {
    const schedule = await lockSchedule(trx, caller, id);
    if (schedule === undefined) return undefined;
    const { key } = schedule;
    const last = await trx
      .selectFrom('schedule_firings')
      .select('due_at')
      .where('schedule_key', '=', key)
      .where('manual', '=', true)
      .orderBy('due_at', 'desc')
      .limit(1)
      .executeTakeFirst();
    // Times of one schedule differ.
    const dueAt = new Date(Math.max(databaseNow(), (last?.due_at.getTime() ?? 0) + 1));
    const task = createScheduledTask(schedule, dueAt, agent, copyWebhook);
    const { taskId } = task;
    const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds };
    const [wakeups = []] = await acceptTasks(trx, options, [task]);
    const firing = { key, dueAt, until: dueAt, count: 1, manual: true, taskId, reason: null };
    await recordFirings(trx, [firing]);
    await trx.updateTable('schedules').set({ last_task_id: taskId }).where('key', '=', key).execute();
    return { taskId, wakeups };
  });
}
