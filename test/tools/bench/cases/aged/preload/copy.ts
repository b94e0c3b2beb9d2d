/** Copies templates to very many tasks: see clone.ts. Replaces all tasks of the database. */
import assert from 'node:assert/strict';
import type { ClientBase } from 'pg';
import type { Db } from '#shared/db/client/pool.ts';
import { recountOwnerUsage } from '#shared/db/owners/usage.ts';
import { describeTask } from './check.ts';
import { createCopy, createExpression, findIdentities, identities, type Identities } from './clone.ts';
import { contextKey, createSeed } from './seed.ts';
import { checkOtherTables, fillTable, readTables, type Table } from './tables.ts';

/** One transaction has written the events of so many tasks: a set of a busy system. */
const tasksOfTransaction = 10;
/** Copies of each template that are compared with it. */
const checkedCopies = 20;

/** Messages are found as repeats for a day, the default of IDEMPOTENCY_WINDOW_SECONDS: earlier ones have no row. */
const conditions: Readonly<Record<string, string>> = { sends: `s.at > now() - interval '1 day'` };
/** Reconcilers leave these rows, however old the load is when it is measured. */
const overrides = { 'sends.expires_at': `now() + interval '10 years'` };

export interface CopyParts {
  /** Each fills one table after the other. */
  clients: readonly [ClientBase, ...ClientBase[]];
  db: Db;
  /** Tasks of the database that have ended. */
  templates: readonly Omit<Identities, 'context_key'>[];
  /** The numbers of the templates, each as often as it is used. */
  shares: readonly number[];
  /** The number of copies in all. */
  tasks: number;
  report: (line: string) => void;
}

export async function copyTasks({ clients, db, templates, shares, tasks, report }: CopyParts): Promise<void> {
  const [client] = clients;
  await storeTemplates(client, templates);
  const all = await readTemplates(client);
  const expected = await Promise.all(all.map((template) => describeTask(db, template)));
  const tables = await readTables(client);
  await checkOtherTables(
    client,
    tables,
    all.map(({ task }) => task),
  );
  for (const statement of createSeed(tasks, shares)) await client.query(statement);
  const transactionId = await createTransactions(client, tasks);
  const known = new Set(
    tables.flatMap(({ name, columns }) => columns.map((column) => `${name}.${column.name}`)),
  );
  for (const column of Object.keys(overrides))
    assert.ok(known.has(column), `column ${column} does not exist`);
  const filled: string[] = [];
  await inLanes(clients, tables, async (lane, table) => {
    const copy = await createTableCopy(lane, table, all, { overrides, transactionId });
    if (copy === undefined) return;
    const from = performance.now();
    const rows = await fillTable(lane, table.name, copy);
    filled.push(table.name);
    report(`${table.name}: ${rows} rows in ${toSeconds(performance.now() - from)} s`);
  });
  // Rows are visible to all only after every transaction that ran while they were written.
  const from = performance.now();
  await inLanes(clients, filled, (lane, name) => lane.query(`vacuum (analyze) public."${name}"`));
  report(`vacuum in ${toSeconds(performance.now() - from)} s`);
  await recountOwnerUsage(db);
  await checkCopies(client, db, expected);
}

async function inLanes<T>(
  clients: readonly ClientBase[],
  items: readonly T[],
  run: (client: ClientBase, item: T) => Promise<unknown>,
): Promise<void> {
  const waiting = [...items];
  await Promise.all(
    clients.map(async (client) => {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await run(client, item);
    }),
  );
}

const toSeconds = (ms: number): string => (ms / 1000).toFixed(0);

/** Stores the identities. The key of their context is computed as for the copies, and compared with the stored one. */
async function storeTemplates(client: ClientBase, templates: CopyParts['templates']): Promise<void> {
  await client.query('create schema preload');
  await client.query(
    `create table preload.templates as
     select p.*, m.context_key, t.created_at as at, ${contextKey('p.owner', 'p.context')} as expected_key
     from json_to_recordset($1::json)
       as p (template int, task uuid, context text, message uuid, follow_up uuid, owner text)
     join tasks t on t.id = p.task join messages m on m.task_id = p.task and m.turn = 1 and m.role = 'user'`,
    [JSON.stringify(templates.map((template, index) => ({ ...template, template: index })))],
  );
  const { rows } = await client.query<{ count: number; same: number }>(
    `select count(*)::int as count, count(*) filter (where context_key = expected_key)::int as same from preload.templates`,
  );
  assert.deepEqual(
    rows[0],
    { count: templates.length, same: templates.length },
    'contexts have other keys now: see seed.ts',
  );
}

type NumberedIdentities = Identities & { template: number };

async function readTemplates(client: ClientBase): Promise<NumberedIdentities[]> {
  const columns = identities.map((identity) => `${identity}::text`).join(', ');
  const { rows } = await client.query<NumberedIdentities>(
    `select template, ${columns} from preload.templates order by template`,
  );
  return rows;
}

/** Uses up transaction ids, as many as the copies would have had. @returns the expression of a copy's id */
async function createTransactions(client: ClientBase, tasks: number): Promise<string> {
  const { rows } = await client.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
  const count = Math.ceil(tasks / tasksOfTransaction) + 1;
  await client.query(
    // prose-ok: PL/pgSQL
    `do $$ begin for i in 1..${count} loop perform pg_current_xact_id(); commit; end loop; end $$`,
  );
  return `(${rows[0]?.xid} + s.n / ${tasksOfTransaction})::text::xid8`;
}

/** Stores the rows of the templates. @returns undefined if there are none */
async function createTableCopy(
  client: ClientBase,
  { name, key, columns }: Table,
  templates: readonly NumberedIdentities[],
  options: Parameters<typeof createExpression>[3],
): Promise<string | undefined> {
  await client.query(
    `create table preload."rows_${name}" as
     select tp.template, x.* from preload.templates tp join public."${name}" x on x."${key}" = tp.task`,
  );
  const { rows } = await client.query<{ template: number; row: Record<string, unknown> }>(
    `select template, row_to_json(x) as row from preload."rows_${name}" x`,
  );
  if (rows.length === 0) return undefined;
  const owned = rows.map(({ template, row }) => {
    const found = templates.find((one) => one.template === template);
    assert.ok(found);
    return { template: found, row };
  });
  const expressions = columns.map((column): [string, string] => [
    column.name,
    createExpression(name, column, findIdentities(column.name, owned), options),
  ]);
  return createCopy(name, new Map(expressions), conditions[name]);
}

/** Compares copies with their templates, as their callers see them. */
async function checkCopies(client: ClientBase, db: Db, expected: readonly string[]): Promise<void> {
  const columns = identities.map((identity) => `${identity}::text`).join(', ');
  for (const [template, text] of expected.entries()) {
    const { rows } = await client.query<Identities>(
      `select ${columns} from preload.seed where template = $1
         and n > (select max(n) from preload.seed) * $2::float8 limit ${checkedCopies}`,
      [template, template / (expected.length + 1)],
    );
    assert.ok(rows.length > 0, `template ${template} has no copies`);
    for (const copy of rows) assert.equal(await describeTask(db, copy), text);
  }
}
