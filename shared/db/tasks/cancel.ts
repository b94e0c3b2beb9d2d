/** Cancels tasks: one transaction that starts at the gate (invariant 3) and ends the task (invariant 10). */
import { sql } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import { nextStatusAt } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';
import { writeStateEvent } from './state-event.ts';

/**
 * @returns the wake-ups to publish, or undefined if the task is terminal; nothing is written then (invariant
 * 4)
 */
export async function cancelTask(
  db: Db,
  options: { wakeupGraceSeconds: number },
  taskId: string,
): Promise<Wakeup[] | undefined> {
  return runTransaction(db, async (trx) => {
    // Raising the fence stops the worker's writes (invariant 10).
    const { numUpdatedRows } = await trx
      .updateTable('gates')
      .set({
        fence: sql`fence + 1`,
        last_event: sql`last_event + 1`,
        state_class: stateClass.terminal,
        settled_at: sql`now()`,
        lease_until: null,
        worker: null,
      })
      .where('task_id', '=', taskId)
      .where('state_class', '<>', stateClass.terminal)
      .executeTakeFirstOrThrow();
    if (numUpdatedRows === 0n) return undefined;
    await trx
      .updateTable('tasks')
      .set({ state: 'TASK_STATE_CANCELED', status_at: nextStatusAt(sql`status_at`), status_message: null })
      .where('id', '=', taskId)
      .execute();
    return writeStateEvent(trx, options, {
      taskId,
      settles: true,
      wake: null,
      traceparent: null,
    });
  });
}
