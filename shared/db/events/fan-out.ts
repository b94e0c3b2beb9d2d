/** SQL fragments that send new events to webhooks and streams, for the statements that write events. */
import { sql, type RawBuilder } from 'kysely';
import { seconds } from '../client/fragments.ts';
import { insertOutbox } from '../outbox/outbox.ts';

/** The channel that followers of events listen on. A hint only: without it they find events by polling. */
export const eventsChannel = 'longhaul_events';

/** Notifies followers when the statement commits, once per statement. For a select list. */
export const notifyFollowers = sql`(select pg_notify(${eventsChannel}, '')) as notified`;

/**
 * Writes the deliveries of new events (invariant 6), after a CTE `new_event (task_id, seq, kind, settles,
 * config_rev)`. `settles` is true for a terminal or interrupted state. Deliveries for a disabled config start
 * as failed, so that they can be redelivered. The CTE `delivery (task_id, config_id)` contains those that
 * need a wake-up.
 */
export function insertDeliveries(wakeupGraceSeconds: number): RawBuilder<unknown> {
  return sql`
    new_delivery as (
      insert into deliveries (task_id, config_id, seq, wakeup_at, state, settled_at)
      select e.task_id, c.id, e.seq, now() + ${seconds(wakeupGraceSeconds)},
        case when c.disabled_at is null then 'pending' else 'failed' end,
        case when c.disabled_at is not null then now() end
      from new_event e join webhook_configs c on c.task_id = e.task_id
      where e.config_rev > 0
        and (c.events = 'all' or (e.kind = 'state' and (c.events = 'state' or e.settles)))
      returning task_id, config_id, state
    ),
    delivery as (select task_id, config_id from new_delivery where state = 'pending')`;
}

/** The rows of the CTE `delivery` for `insertOutbox`: one wake-up for each config. */
export const deliveryRows = {
  kind: 'delivery',
  from: sql`(select distinct task_id, config_id from delivery) delivery`,
} as const;

/** Writes the wake-ups of the CTE `delivery`, as the CTE `wakeup (id, task_id, config_id)`. */
export const insertDeliveryWakeups = sql`
    wakeup as (
      ${insertOutbox(deliveryRows)}
      returning id, task_id, config_id
    )`;
