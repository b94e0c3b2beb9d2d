/**
 * A set of rows as parameters of a statement: name, type and value of a column on one line.
 *
 *   sql`with input as (${rows('input', tasks, { task_id: uuid((task) => task.id), title: text((task) => task.title) })}) …`
 *   → with input as (select * from unnest($1::uuid[], $2::text[]) as input (task_id, title)) …
 */
import { sql, type RawBuilder } from 'kysely';

export interface Column<Row> {
  /** Of one value, as PostgreSQL spells it. */
  readonly type: string;
  readonly value: (row: Row) => unknown;
}

const column =
  <Value>(type: string) =>
  <Row>(value: (row: Row) => Value | null | undefined): Column<Row> => ({ type, value });

export const uuid = column<string>('uuid');
export const text = column<string>('text');
export const int = column<number>('int');
export const float = column<number>('float8');
export const boolean = column<boolean>('boolean');
/** A Date, or ISO 8601. */
export const timestamp = column<string | Date>('timestamptz');
/** Text that is JSON already. */
export const json = column<string>('json');

/** `select * from unnest(…)`: one array for each column, so that one plan serves sets of every size. */
export function rows<Row>(
  name: string,
  source: readonly Row[],
  columns: Record<string, Column<Row>>,
): RawBuilder<unknown> {
  const entries = Object.entries(columns);
  const arrays = entries.map(
    ([, { type, value }]) => sql`${source.map((row) => value(row) ?? null)}::${sql.raw(type)}[]`,
  );
  const names = entries.map(([each]) => sql.ref(each));
  return sql`select * from unnest(${sql.join(arrays)}) as ${sql.ref(name)} (${sql.join(names)})`;
}
