/**
 * The log of attempts, for the owner. An attempt that delivers its event is written to the row of the delivery, which changes
 * anyway: most deliveries have no other. Those that fail have rows of their own. A redelivery moves the attempt out of the
 * row of its delivery.
 */
import { sql, type RawBuilder } from 'kysely';

const failed = sql`
      select a.task_id, a.config_id, a.seq, a.attempt, a.started_at, a.duration_ms, a.status, a.error, a.response_start
      from delivery_attempts a where`;

const delivered = sql`
      select a.task_id, a.config_id, a.seq, a.attempts, a.started_at, a.duration_ms, a.status, null, a.response_start
      from deliveries a where a.started_at is not null and`;

/** All attempts that match a condition on `a`, as a FROM item. */
export function selectAttempts(condition: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(${failed} ${condition} union all ${delivered} ${condition})`;
}

/** The last attempt at the newest event of a config, as a FROM item. */
export function selectLastAttempt(condition: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(
      (${failed} ${condition} order by a.seq desc, a.attempt desc limit 1)
      union all (${delivered} ${condition} order by a.seq desc limit 1)
      order by seq desc, attempt desc limit 1
    )`;
}

/** The CTE `moved`, for a statement that restarts deliveries `d`. */
export function moveAttempts(condition: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`moved as (
      insert into delivery_attempts (task_id, config_id, seq, attempt, started_at, duration_ms, status, response_start)
      select d.task_id, d.config_id, d.seq, d.attempts, d.started_at, d.duration_ms, d.status, d.response_start
      from deliveries d where d.started_at is not null and ${condition}
    )`;
}
