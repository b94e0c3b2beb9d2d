/** The part of a statement that writes the event of a state that the api changes. */
import { sql, type RawBuilder } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { deliveryRows, eventsChannel, insertDeliveries, notifyDispatchers } from '../events/fan-out.ts';
import { insertOutbox } from '../outbox/outbox.ts';

/**
 * Writes the event of a task's new state, with its deliveries and wake-ups, after a CTE `task (task_id, last_event,
 * config_rev, context_id, state, status_at)`. The CTE `wakeup (id, kind, task_id, config_id, owner)` has the wake-ups to publish.
 *
 * @param event.from the rows of `task` that changed their state
 * @param event.settles whether the state is terminal or interrupted
 * @param event.wake the columns of the wake-up of a turn; undefined: none
 */
export function insertStateEvent(
  options: { wakeupGraceSeconds: number },
  event: {
    from: RawBuilder<unknown>;
    settles: boolean;
    wake?: { turn: RawBuilder<unknown>; owner: string };
    traceparent: string | null;
  },
): RawBuilder<unknown> {
  const traceparent = sql`${event.traceparent}::text`;
  const turnRows = event.wake && {
    kind: 'turn' as const,
    from: event.from,
    turn: event.wake.turn,
    owner: sql`${event.wake.owner}::text`,
    traceparent,
  };
  return sql`
    new_event as (
      select task_id, last_event as seq, 'state' as kind, ${event.settles}::boolean as settles, config_rev,
        json_build_object('statusUpdate', json_build_object(
          'taskId', task_id, 'contextId', context_id,
          'status', json_build_object('state', state, 'timestamp', ${isoTime(sql`status_at`)})
        )) as payload
      from ${event.from}
    ),
    event as (
      insert into events (task_id, seq, kind, payload, traceparent)
      select task_id, seq, kind, payload, ${traceparent} from new_event
    ),
    ${insertDeliveries(options.wakeupGraceSeconds)},
    wakeup as (
      ${turnRows === undefined ? insertOutbox(deliveryRows) : insertOutbox(turnRows, deliveryRows)}
      returning id, kind, task_id, config_id, owner
    )`;
}

/** Notifies followers and dispatchers of a new event when the statement commits. For a select list. */
export const notifyOfStateEvent = sql`(select pg_notify(${eventsChannel}, '') from new_event) as notified, ${notifyDispatchers}`;

/** Returns whether a task is terminal or was removed, as of now. */
export async function hasEnded(db: Db, taskId: string): Promise<boolean> {
  const gate = await db
    .selectFrom('gates')
    .select('state_class')
    .where('task_id', '=', taskId)
    .executeTakeFirst();
  return gate === undefined || gate.state_class === stateClass.terminal;
}
