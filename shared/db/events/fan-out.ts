/** SQL fragments that send new events to webhooks and streams, for the statements that write events. */
import { sql, type RawBuilder } from 'kysely';
import { seconds } from '../client/fragments.ts';
import { insertOutbox } from '../outbox/outbox.ts';
import { isPending } from '../webhooks/pending.ts';

/** The channel that followers of events listen on. A hint only: without it they find events by polling. */
export const eventsChannel = 'longhaul_events';

/** The channel that dispatchers listen on (services/dispatcher/take.ts). A hint only: a Cloud Task follows. */
export const deliveriesChannel = 'longhaul_deliveries';

/** Notifies dispatchers when the statement commits, if a CTE `wakeup (kind)` has wake-ups of deliveries. For a select list. */
export const notifyDispatchers = sql`(select pg_notify(${deliveriesChannel}, '') from wakeup where kind = 'delivery' limit 1) as notified_dispatchers`;

/**
 * Notifies followers and dispatchers when the statement commits, once per statement. For a select list, in a statement with
 * a CTE `wakeup (kind)`.
 */
export const notifyListeners = sql`(select pg_notify(${eventsChannel}, '')) as notified, ${notifyDispatchers}`;

/**
 * Writes the deliveries of new events (invariant 6), after a CTE `new_event (task_id, seq, kind, settles,
 * config_rev)`. `settles` is true for a terminal or interrupted state. Deliveries for a disabled config start
 * as failed, so that they can be redelivered. The CTE `delivery (task_id, config_id, owner)` contains the configs
 * that need a wake-up.
 *
 * An ordered config needs none if its previous delivery is pending: what settles that one looks for the next
 * (webhooks/attempts/record.ts). The lock keeps it pending until this transaction has committed. A delivery that is being
 * settled or claimed is not waited for.
 */
export function insertDeliveries(wakeupGraceSeconds: number): RawBuilder<unknown> {
  return sql`
    new_delivery as (
      select e.task_id, c.id as config_id, c.owner, c.ordered, e.seq, c.disabled_at is null as pending
      from new_event e join webhook_configs c on c.task_id = e.task_id
      where e.config_rev > 0
        and (c.events = 'all' or (e.kind = 'state' and (c.events = 'state' or e.settles)))
    ),
    stored_delivery as (
      insert into deliveries (task_id, config_id, seq, wakeup_at, state, settled_at)
      select task_id, config_id, seq, now() + ${seconds(wakeupGraceSeconds)},
        case when pending then 'pending' else 'failed' end, case when not pending then now() end
      from new_delivery
    ),
    delivery as (
      select queue.task_id, queue.config_id, queue.owner
      from (
        select task_id, config_id, owner, ordered, min(seq) as seq
        from new_delivery where pending group by task_id, config_id, owner, ordered
      ) queue
      left join lateral (
        select true as pending from deliveries d
        where queue.ordered and d.task_id = queue.task_id and d.config_id = queue.config_id and ${isPending}
          and d.seq = (
            select max(previous.seq) from deliveries previous
            where previous.task_id = queue.task_id and previous.config_id = queue.config_id
              and previous.seq < queue.seq and previous.seq > 0
          )
        for share of d skip locked
      ) previous on true
      where previous.pending is null
    )`;
}

/** The rows of the CTE `delivery` for `insertOutbox`: one wake-up for each config. */
export const deliveryRows = { kind: 'delivery', from: sql`delivery`, owner: sql`owner` } as const;

/** Writes the wake-ups of the CTE `delivery`, as the CTE `wakeup (id, task_id, config_id)`. */
export const insertDeliveryWakeups = sql`
    wakeup as (
      ${insertOutbox(deliveryRows)}
      returning id, kind, task_id, config_id
    )`;
