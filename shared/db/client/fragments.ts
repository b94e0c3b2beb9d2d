/** SQL fragments that do not belong to one table. */
import { sql, type RawBuilder } from 'kysely';

/** An interval of `amount` seconds: a number, or an SQL expression. */
export function seconds(amount: number | RawBuilder<unknown>): RawBuilder<unknown> {
  return typeof amount === 'number'
    ? sql`${amount} * interval '1 second'`
    : sql`(${amount}) * interval '1 second'`;
}

/**
 * Limits a subquery whose rows are then looked up by key. A prepared statement is planned before the sizes of
 * its sets are known, perhaps while its tables are empty. The planner does not know this limit either, so it
 * assumes a small set and looks up each row by its key.
 */
export function fewRows(count: number): RawBuilder<unknown> {
  return sql`limit ${count}::int`;
}

/**
 * The time of a status that is written now, and not before the previous one, `statusAt`: within a task, time only
 * goes forward, even if a server with another clock takes over. Whole milliseconds, as in events.
 */
export function nextStatusAt(statusAt: RawBuilder<unknown>): RawBuilder<Date> {
  return sql`greatest(date_trunc('milliseconds', clock_timestamp()), ${statusAt})`;
}

/** A time as it is written in events: ISO 8601 in UTC, with milliseconds. */
export function isoTime(time: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`to_char(${time} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
