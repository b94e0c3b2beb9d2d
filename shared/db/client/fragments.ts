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
