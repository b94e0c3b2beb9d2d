/** Writes the event of a state that the API changes, after it has updated the gate. */
import { sql, type Transaction } from 'kysely';
import type { Wakeup } from '../../domain/wakeup.ts';
import { deliveryRows, insertDeliveries, notifyFollowers } from '../events/fan-out.ts';
import { insertOutbox, toWakeups, wakeupColumns, type WakeupColumns } from '../outbox/outbox.ts';
import type { Database } from '../schema/schema.ts';

/**
 * Writes an event under the gate's new `last_event`, with its deliveries and wake-ups.
 *
 * @returns the wake-ups to publish after the commit
 */
export async function writeStateEvent(
  trx: Transaction<Database>,
  options: { wakeupGraceSeconds: number },
  event: {
    taskId: string;
    /** JSON. */
    payload: string;
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
      select task_id, last_event as seq, 'state' as kind, ${event.payload}::json as payload,
        ${event.settles}::boolean as settles, config_rev
      from gates where task_id = ${event.taskId}
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
