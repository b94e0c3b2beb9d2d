/** Pieces of SQL that several writing statements share. */
import { sql } from 'kysely';

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
 * `settles` is true of a state that is terminal or interrupted.
 */
export function deliveriesOf(bellGraceSeconds: number) {
  return sql`
    delivery as (
      insert into deliveries (task_id, config_id, seq, bell_at)
      select e.task_id, c.id, e.seq, now() + ${bellGraceSeconds} * interval '1 second'
      from new_event e join webhook_configs c on c.task_id = e.task_id
      where e.config_rev > 0 and c.disabled_at is null
        and (c.events = 'all' or (e.kind = 'state' and (c.events = 'state' or e.settles)))
      returning task_id, config_id
    )`;
}
