/**
 * The log of attempts, for the owner. An attempt that delivers its event is written to the row of the delivery, which changes
 * anyway: most deliveries have no other. Those that fail have rows of their own. If the event is delivered again, the attempt
 * moves to a row of its own first.
 */
import { sql, type RawBuilder } from 'kysely';

const failed = sql`
      select a.task_id, a.config_id, a.seq, a.attempt, a.started_at, a.duration_ms, a.status, a.error, a.response_start
      from delivery_attempts a where`;

const delivered = sql`
      select a.task_id, a.config_id, a.seq, a.attempts, a.started_at, a.duration_ms, a.status, null, a.response_start`;

/** All attempts that match a condition on `a`, as a FROM item. */
export function selectAttempts(condition: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(${failed} ${condition} union all ${delivered}
      from deliveries a where a.started_at is not null and ${condition})`;
}

/** Deliveries that are searched for the last attempt: those behind a backlog that nothing was attempted of are not. */
const maxSearched = sql.lit(1000);

/** The last attempt at the newest event of a config, as a FROM item. */
export function selectLastAttempt(condition: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(
      (${failed} ${condition} order by a.seq desc, a.attempt desc limit 1)
      union all (
        ${delivered}
        from (select * from deliveries a where ${condition} order by a.seq desc limit ${maxSearched}) a
        where a.started_at is not null order by a.seq desc limit 1
      )
      order by seq desc, attempt desc limit 1
    )`;
}

/** Makes a delivery pending again, after `moveAttempts`. */
export const restarted = sql`state = 'pending', settled_at = null, started_at = null, duration_ms = null, status = null,
          response_start = null`;

/** The CTE `moved`, for a statement that restarts deliveries `d`. */
export function moveAttempts(condition: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`moved as (
      insert into delivery_attempts (task_id, config_id, seq, attempt, started_at, duration_ms, status, response_start)
      select d.task_id, d.config_id, d.seq, d.attempts, d.started_at, d.duration_ms, d.status, d.response_start
      from deliveries d where d.started_at is not null and ${condition}
    )`;
}
