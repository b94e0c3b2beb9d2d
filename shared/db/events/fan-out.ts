/** Pieces of SQL that several writing statements share. */
import { sql } from 'kysely';
import { freshClaim } from '../outbox/outbox.ts';

/** The channel on which followers of events listen. A hint only: whoever misses it looks a little later. */
export const eventsChannel = 'longhaul_events';

/** Wakes followers once for each statement, when it commits. Stands in a select list. */
export const notifyFollowers = sql`(select pg_notify(${eventsChannel}, '')) as notified`;

/**
 * Ends a subquery that unnests a set of rows to be looked up. A prepared statement is planned before the size of its sets
 * is known, perhaps while its tables are empty; by a limit that it does not know either, the planner takes sets for small,
 * and looks each row up by its key.
 */
export const fewRows = (count: number) => sql`limit ${count}::int`;

/** That a gate found by its key is runnable. The sum keeps the planner off the index, which would give it all such gates. */
export const isRunnable = sql`g.state_class + 0 = 0`;

/**
 * The deliveries of new events (invariant 6). Stands after a CTE `new_event (task_id, seq, kind, settles, config_rev)`;
 * `settles` is true of a state that is terminal or interrupted. Those of a disabled config have failed from the start, so
 * that they can be sent again. The CTE `delivery (task_id, config_id)` has what is to be rung for.
 */
export function deliveriesOf(wakeupGraceSeconds: number) {
  return sql`
    made as (
      insert into deliveries (task_id, config_id, seq, wakeup_at, state, settled_at)
      select e.task_id, c.id, e.seq, now() + ${wakeupGraceSeconds} * interval '1 second',
        case when c.disabled_at is null then 'pending' else 'failed' end,
        case when c.disabled_at is not null then now() end
      from new_event e join webhook_configs c on c.task_id = e.task_id
      where e.config_rev > 0
        and (c.events = 'all' or (e.kind = 'state' and (c.events = 'state' or e.settles)))
      returning task_id, config_id, state
    ),
    delivery as (select task_id, config_id from made where state = 'pending')`;
}

/** The wakeups of the CTE `delivery`, one for each config, as the CTE `wakeup (id, task_id, config_id)`. */
export const deliveryWakeups = sql`
    wakeup as (
      insert into outbox (kind, task_id, config_id, claimed_until)
      select distinct 'delivery', task_id, config_id, now() + ${freshClaim} from delivery
      returning id, task_id, config_id
    )`;

/** Those of a row of `gate`, as WakeupColumns has them. Stands in a select list. */
export const gateWakeups = sql`null as wakeup_id,
      (select json_agg(json_build_object('id', wakeup.id::text, 'config_id', wakeup.config_id))
        from wakeup where wakeup.task_id = gate.task_id) as delivery_wakeups`;
