/** Cancels tasks: one statement that starts at the gate (invariant 3) and ends the task (invariant 10). */
import { sql } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import { endCalls } from '../calls/abandoned.ts';
import { countEnds, familyColumns, signaledGroups, type SignaledColumn } from '../children/end.ts';
import { signalParents } from '../children/signal.ts';
import { nextStatusAt } from '../client/fragments.ts';
import { locked, retryWhileLocked } from '../client/locked.ts';
import type { Db } from '../client/pool.ts';
import { toWakeups, wakeupColumns, type WakeupColumns } from '../outbox/outbox.ts';
import { hasEnded, insertStateEvent, notifyOfStateEvent } from './state-event.ts';

/**
 * @returns the wake-ups to publish, or undefined if the task is terminal; nothing is written then (invariant
 * 4)
 */
export async function cancelTask(
  db: Db,
  options: { wakeupGraceSeconds: number },
  taskId: string,
): Promise<Wakeup[] | undefined> {
  return retryWhileLocked(async () => {
    const row = await cancelOnce(db, options, taskId);
    if (row.canceled) {
      const parents = await signalParents(db, options, row.signaled_groups ?? []);
      return [...toWakeups(row, taskId, 0, null), ...parents];
    }
    // Otherwise a webhook config changed at the same time (`seen`).
    return (await hasEnded(db, taskId)) ? undefined : locked;
  });
}

type CanceledRow = WakeupColumns & SignaledColumn & { canceled: boolean };

/**
 * Raising the fence stops the worker's writes (invariant 10). The worker stays, as that of the attempt which ends here
 * (turns/attempts.ts). `seen`: see turns/write-fragments.ts.
 */
async function cancelOnce(
  db: Db,
  options: { wakeupGraceSeconds: number },
  taskId: string,
): Promise<CanceledRow> {
  const { rows } = await sql<CanceledRow>`
    with gate as (
      update gates g set fence = g.fence + 1, last_event = g.last_event + 1, state_class = ${stateClass.terminal},
        settled_at = now(), lease_until = null
      from gates seen
      where seen.task_id = ${taskId} and g.task_id = seen.task_id and g.state_class <> ${stateClass.terminal}
        and g.config_rev = seen.config_rev
      returning g.task_id, g.turn, g.last_event, g.config_rev
    ),
    task as (
      update tasks t set state = 'TASK_STATE_CANCELED', status_at = ${nextStatusAt(sql`t.status_at`)},
        status_message = null
      from gate where t.id = gate.task_id
      returning gate.*, t.context_id, t.state, t.status_at, ${familyColumns}
    ),
    ${endCalls(sql`task`)}
    ${countEnds(sql`task`, 1)}
    ${insertStateEvent(options, { from: sql`task`, settles: true, traceparent: null })}
    select ${wakeupColumns}, exists (select from gate) as canceled, ${signaledGroups},
      ${notifyOfStateEvent} from wakeup`.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error('an aggregate returned no row');
  return row;
}
