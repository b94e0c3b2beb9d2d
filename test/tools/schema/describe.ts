/** Describes the tables of a database in a fixed order: columns, constraints, indexes and storage options. */
import { Client } from 'pg';

export async function describeSchema(url: string): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows: tables } = await client.query<{ oid: number; name: string; options: string[] | null }>(
      `select c.oid, c.relname as name, c.reloptions as options from pg_class c
       where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace and c.relname not like 'kysely\\_%'
       order by c.relname`,
    );
    const texts = [];
    for (const table of tables) texts.push(await describeTable(client, table));
    return `-- Written by "npm run schema" from the migrations; do not edit.\n\n${texts.join('\n')}`;
  } finally {
    await client.end();
  }
}

async function describeTable(
  client: Client,
  table: { oid: number; name: string; options: string[] | null },
): Promise<string> {
  const { rows: columns } = await client.query<{ line: string }>(
    `select a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
       || case when a.attnotnull then ' not null' else '' end
       || case when a.attidentity <> '' then ' generated always as identity' else '' end
       || case when a.attgenerated = '' then coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
            else ' generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') stored' end as line
     from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    [table.oid],
  );
  const { rows: constraints } = await client.query<{ line: string }>(
    `select pg_get_constraintdef(oid) as line from pg_constraint
     where conrelid = $1 and contype <> 'n' order by contype desc, conname`,
    [table.oid],
  );
  const { rows: indexes } = await client.query<{ line: string }>(
    `select pg_get_indexdef(indexrelid) as line from pg_index
     where indrelid = $1 and not indisprimary order by indexrelid::regclass::text`,
    [table.oid],
  );
  const body = [...columns, ...constraints].map(({ line }) => `  ${line}`).join(',\n');
  const storage = table.options === null ? '' : ` with (${table.options.join(', ')})`;
  return [
    `create table ${table.name} (\n${body}\n)${storage};`,
    ...indexes.map(({ line }) => `${line};`),
    '',
  ].join('\n');
}
