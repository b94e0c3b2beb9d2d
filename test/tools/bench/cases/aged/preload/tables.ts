/** The tables that have rows of tasks, as the database describes them, and filling them without their indexes. */
import type { ClientBase } from 'pg';
import type { Column } from './clone.ts';

export interface Table {
  name: string;
  /** The column with the id of the task. */
  key: string;
  /** Those that a statement may insert. */
  columns: Column[];
}

/** Returns the tables that have a column with the id of a task. */
export async function readTables(client: ClientBase): Promise<Table[]> {
  const { rows } = await client.query<{ table: string; key: string; columns: Column[] }>(
    `select c.table_name as table, case c.table_name when 'tasks' then 'id' else 'task_id' end as key,
       json_agg(json_build_object('name', c.column_name, 'type', c.udt_name) order by c.ordinal_position)
         filter (where c.is_generated = 'NEVER' and c.is_identity = 'NO') as columns
     from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
     where c.table_schema = 'public' and t.table_type = 'BASE TABLE'
     group by c.table_name
     having c.table_name = 'tasks' or bool_or(c.column_name = 'task_id') order by c.table_name`,
  );
  return rows.map(({ table: name, key, columns }) => ({ name, key, columns }));
}

/**
 * Fails if a table without a column for the id of a task contains one of these ids: its rows would be missing.
 *
 * @throws {Error} with the name of the table
 */
export async function checkOtherTables(
  client: ClientBase,
  tables: readonly Table[],
  taskIds: readonly string[],
): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select relname as name from pg_class
     where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> all($1)`,
    [tables.map(({ name }) => name)],
  );
  for (const { name } of rows) {
    const { rowCount } = await client.query(
      `select from public."${name}" x where exists (
         select from unnest($1::text[]) id where position(id in x::text) > 0) limit 1`,
      [taskIds],
    );
    if (rowCount !== 0) throw new Error(`${name} has rows of the templates, and nothing copies them`);
  }
}

/**
 * Replaces the rows of a table. In one transaction with a new file for the table, so that nothing is logged (wal_level
 * minimal) and its indexes are built once, from all rows.
 *
 * @returns the number of rows
 */
export async function fillTable(client: ClientBase, name: string, insert: string): Promise<number> {
  const table = `public."${name}"`;
  const constraints = await client.query<{ name: string; definition: string }>(
    `select conname as name, pg_get_constraintdef(oid) as definition from pg_constraint
     where conrelid = $1::regclass and contype in ('p', 'u') order by contype`,
    [table],
  );
  const indexes = await client.query<{ name: string; definition: string }>(
    `select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition from pg_index
     where indrelid = $1::regclass and not exists (select from pg_constraint where conindid = indexrelid)`,
    [table],
  );
  await client.query('begin');
  for (const { name: index } of indexes.rows) await client.query(`drop index ${index}`);
  for (const constraint of constraints.rows)
    await client.query(`alter table ${table} drop constraint "${constraint.name}"`);
  await client.query(`truncate ${table}`);
  const { rowCount } = await client.query(insert);
  for (const constraint of constraints.rows)
    await client.query(`alter table ${table} add constraint "${constraint.name}" ${constraint.definition}`);
  for (const { definition } of indexes.rows) await client.query(definition);
  await client.query('commit');
  return rowCount ?? 0;
}
