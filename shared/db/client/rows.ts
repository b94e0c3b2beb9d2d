/**
 * A set of rows as parameters of a statement, with the name, type and value of a column on one line:
 *
 *   sql`with input as (${rows('input', tasks, { task_id: uuid((task) => task.id), title: text((task) => task.title) })}) …`
 *   → with input as (select * from unnest($1::uuid[], $2::text[]) as input (task_id, title)) …
 */
import { sql, type RawBuilder } from 'kysely';
import { minLargeBytes } from '../../runtime/large-work.ts';

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

/**
 * Selects the rows from one array for each column, so that one plan serves sets of every size. An array without values is
 * sent empty: `unnest` fills shorter arrays with null (PostgreSQL documentation, section 9.19).
 */
export function rows<Row>(
  name: string,
  source: readonly Row[],
  columns: Record<string, Column<Row>>,
): RawBuilder<unknown> {
  const names = Object.keys(columns).map(quote).join(', ');
  const types = Object.values(columns).map(({ type }) => `::${type}[]`);
  const arrays = Object.values(columns).map(({ value }) => getValues(source, value));
  return withValues('select * from unnest(', types, `) as ${quote(name)} (${names})`, arrays);
}

/**
 * Selects one row, which may have large values. In an array they would be escaped, which takes 30 ms for 8 MB of text.
 */
export function largeRow<Row>(source: Row, columns: Record<string, Column<Row>>): RawBuilder<unknown> {
  const types = Object.entries(columns).map(([name, { type }]) => `::${type} as ${quote(name)}`);
  const values = Object.values(columns).map(({ value }) => value(source) ?? null);
  return withValues('select ', types, '', values);
}

/**
 * Selects rows, a single large one of which as `largeRow` does. Both have plans of their own.
 *
 * @param getSize returns the length of the large values
 */
export function rowsOrLargeRow<Row>(
  name: string,
  source: readonly Row[],
  getSize: (row: Row) => number,
  columns: Record<string, Column<Row>>,
): RawBuilder<unknown> {
  const [row, ...others] = source;
  const isLarge = row !== undefined && others.length === 0 && getSize(row) >= minLargeBytes;
  return isLarge ? largeRow(row, columns) : rows(name, source, columns);
}

/** Puts a value before each of `types`, as one fragment: compiling one for each column would take several times as long. */
function withValues(
  head: string,
  types: readonly string[],
  tail: string,
  values: readonly unknown[],
): RawBuilder<unknown> {
  const last = types.length - 1;
  const texts = [head, ...types.map((type, index) => (index === last ? type + tail : `${type}, `))];
  // Kysely does not read the property `raw`, which a template has in addition.
  return sql(texts as unknown as TemplateStringsArray, ...values);
}

/** Names are part of the code. */
function quote(name: string): string {
  return `"${name}"`;
}

function getValues<Row>(source: readonly Row[], value: Column<Row>['value']): unknown[] {
  const values = source.map((row) => value(row) ?? null);
  return values.every((each) => each === null) ? [] : values;
}
