/** SQL fragments for every table. */
import { sql, type RawBuilder } from 'kysely';

/** An interval of so many seconds, from a number or an expression. */
export function seconds(amount: number | RawBuilder<unknown>): RawBuilder<unknown> {
  return typeof amount === 'number'
    ? sql`${amount} * interval '1 second'`
    : sql`(${amount}) * interval '1 second'`;
}

/**
 * Ends a subquery of rows that are then looked up by key. A prepared statement is planned before its set
 * sizes are known, perhaps while its tables are empty. The planner does not know this limit either, so it
 * assumes a small set and looks up each row by its key.
 */
export function fewRows(count: number): RawBuilder<unknown> {
  return sql`limit ${count}::int`;
}
