import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql,
} from 'kysely';
import { int, largeRow, rows, rowsOrLargeRow, text, uuid } from '#shared/db/client/rows.ts';

const db = new Kysely<never>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (kysely) => new PostgresIntrospector(kysely),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});

const compile = (source: readonly { id: string; title?: string; size: number }[]) =>
  sql`${rows('input', source, {
    task_id: uuid((row) => row.id),
    title: text((row) => row.title),
    size: int((row) => row.size),
  })}`.compile(db);

describe('rows', () => {
  test('passes a typed array for each column', () => {
    const compiled = compile([
      { id: 'a', title: 'A', size: 1 },
      { id: 'b', size: 2 },
    ]);
    assert.equal(
      compiled.sql,
      'select * from unnest($1::uuid[], $2::text[], $3::int[]) as "input" ("task_id", "title", "size")',
    );
    assert.deepEqual(compiled.parameters, [
      ['a', 'b'],
      ['A', null],
      [1, 2],
    ]);
  });

  test('passes no values for a column that has none', () => {
    const { parameters } = compile([{ id: 'a', size: 1 }]);
    assert.deepEqual(parameters, [['a'], [], [1]]);
  });

  test('has the same text for sets of every size', () => {
    assert.equal(compile([]).sql, compile([{ id: 'a', size: 1 }]).sql);
  });
});

test('largeRow passes one value for each column', () => {
  const row = sql`${largeRow({ size: 1 }, { title: text(() => 'A'), size: int(({ size }) => size), none: int(() => null) })}`;
  const { sql: statement, parameters } = row.compile(db);
  assert.equal(statement, 'select $1::text as "title", $2::int as "size", $3::int as "none"');
  assert.deepEqual(parameters, ['A', 1, null]);
});

test('rowsOrLargeRow passes a single large row without arrays', () => {
  const columns = { size: int(({ size }: { size: number }) => size) };
  const get = (...sizes: number[]) => {
    const source = sizes.map((size) => ({ size }));
    return sql`${rowsOrLargeRow('input', source, ({ size }) => size, columns)}`.compile(db).parameters;
  };
  assert.deepEqual(get(65_536), [65_536]);
  for (const sizes of [[65_535], [65_536, 1]]) assert.deepEqual(get(...sizes), [sizes]);
});
