/**
 * A set of rows as parameters of a statement, with the name, type and value of a column on one line:
 *
 *   sql`with input as (${rows('input', tasks, { task_id: uuid((task) => task.id), title: text((task) => task.title) })}) …`
 *   → with input as (select * from unnest($1::uuid[], $2::text[]) as input (task_id, title)) …
 */
import { sql, type RawBuilder } from 'kysely';

export interface Column<Row> {
  /** The PostgreSQL type of one value. */
  readonly type: string;
  readonly value: (row: Row) => unknown;
}

const column =
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- types the values of each column below
  <Value>(type: string) =>
    <Row>(value: (row: Row) => Value | null | undefined): Column<Row> => ({ type, value });

export const uuid = column<string>('uuid');
export const text = column<string>('text');
export const int = column<number>('int');
export const bigint = column<number>('bigint');
export const float = column<number>('float8');
export const boolean = column<boolean>('boolean');
/** A Date or an ISO 8601 string. */
export const timestamp = column<string | Date>('timestamptz');
/** A string that is already JSON. */
export const json = column<string>('json');

/** Selects the rows from one array for each column, so that one plan serves sets of every size. */
export function rows<Row>(
  name: string,
  source: readonly Row[],
  columns: Record<string, Column<Row>>,
): RawBuilder<unknown> {
  const entries = Object.entries(columns);
  const arrays = entries.map(
    ([, { type, value }]) => sql`${source.map((row) => value(row) ?? null)}::${sql.raw(type)}[]`,
  );
  const names = entries.map(([columnName]) => sql.ref(columnName));
  return sql`select * from unnest(${sql.join(arrays)}) as ${sql.ref(name)} (${sql.join(names)})`;
}
