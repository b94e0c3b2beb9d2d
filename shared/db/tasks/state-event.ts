/** Writes the event of a state that the API changes, after it has updated the gate and the task. */
import { sql, type Transaction } from 'kysely';
import type { Wakeup } from '../../domain/wakeup.ts';
import { isoTime } from '../client/fragments.ts';
import { deliveryRows, insertDeliveries, notifyFollowers } from '../events/fan-out.ts';
import { insertOutbox, toWakeups, wakeupColumns, type WakeupColumns } from '../outbox/outbox.ts';
import type { Database } from '../schema/schema.ts';

/**
 * Writes the event of a task's new state and `status_at`, under the gate's new `last_event`, with its deliveries and
 * wake-ups.
 *
 * @returns the wake-ups to publish after the commit
 */
export async function writeStateEvent(
  trx: Transaction<Database>,
  options: { wakeupGraceSeconds: number },
  event: {
    taskId: string;
    /** The state is terminal or interrupted. */
    settles: boolean;
    /** The turn to wake a worker for; null: none. */
    wake: { turn: number; owner: string } | null;
    traceparent: string | null;
  },
): Promise<Wakeup[]> {
  const turnRows = {
    kind: 'turn',
    from: sql`new_event where ${event.wake !== null}`,
    turn: sql`${event.wake?.turn ?? null}::int`,
    owner: sql`${event.wake?.owner ?? null}::text`,
    traceparent: sql`${event.traceparent}::text`,
  } as const;
  const { rows } = await sql<WakeupColumns>`
    with new_event as (
      select g.task_id, g.last_event as seq, 'state' as kind, ${event.settles}::boolean as settles, g.config_rev,
        json_build_object('statusUpdate', json_build_object(
          'taskId', g.task_id, 'contextId', t.context_id,
          'status', json_build_object('state', t.state, 'timestamp', ${isoTime(sql`t.status_at`)})
        )) as payload
      from gates g join tasks t on t.id = g.task_id where g.task_id = ${event.taskId}
    ),
    event as (
      insert into events (task_id, seq, kind, payload, traceparent)
      select task_id, seq, kind, payload, ${event.traceparent} from new_event
    ),
    ${insertDeliveries(options.wakeupGraceSeconds)},
    wakeup as (
      ${insertOutbox(turnRows, deliveryRows)}
      returning id, kind, config_id, owner
    )
    select ${wakeupColumns}, ${notifyFollowers} from wakeup`.execute(trx);
  const [row] = rows;
  return row === undefined ? [] : toWakeups(row, event.taskId, event.wake?.turn ?? 0, event.traceparent);
}
