/**
 * Data protection: after `forget`, nothing of an owner or a task is found in any column, and an export has everything before.
 * Both are completed by a second run if the first one dies after any statement.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { sql } from 'kysely';
import type { Db } from '#shared/db/client/pool.ts';
import type { AdminCommand } from '#services/admin/command.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { exportCommand } from '#services/admin/export.ts';
import { forgetCommand } from '#services/admin/forget.ts';
import { endAfter, EndedError } from '../../support/database/ended.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';

/** Tables without data of callers. */
const ofOperator = new Set([
  'agents',
  'owner_limits',
  'encryption_checks',
  'running_versions',
  'worker_drains',
  'worker_heartbeats',
  'model_quotas',
  // Ids of calls that a worker deletes at Google once their tasks are removed.
  'stored_calls',
  // Ids and addresses of batches at Google, which have the calls of many owners.
  'batches',
]);

interface Column {
  table: string;
  column: string;
  type: string;
}

describe('forget', () => {
  let db: Db;
  let columns: Column[];
  before(async () => {
    ({ db } = await connectToTestDatabase());
    const { rows } = await sql<Column>`
      select c.table_name as table, c.column_name as column, c.data_type as type
      from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
      where c.table_schema = 'public' and t.table_type = 'BASE TABLE' and c.is_generated = 'NEVER'
        and c.is_identity = 'NO' and c.table_name not like 'kysely%'
      order by 1, 2`.execute(db);
    columns = rows.filter(({ table }) => !ofOperator.has(table));
  });

  /** Writes a row with the marker to every table, in every column that can hold it. */
  async function fill(marker: string, owner: string, taskId: string): Promise<void> {
    const byTable = Map.groupBy(columns, ({ table }) => table);
    const scheduleKey = randomUUID();
    for (const [table, own] of byTable) {
      const value = ({ column, type }: Column): unknown => {
        if (column === 'owner') return owner;
        if (column === 'tenant') return '';
        if (column === 'key' || column === 'schedule_key') return scheduleKey;
        if (type === 'uuid') return table === 'tasks' && column === 'child_group' ? null : taskId;
        if (type === 'ARRAY') return null;
        if (type === 'json' || type === 'jsonb') return JSON.stringify({ text: marker });
        if (type === 'bytea') return Buffer.from(marker);
        if (type === 'text') return marker;
        if (type === 'boolean') return false;
        if (type === 'xid8') return '1';
        // In the past: a key that is retired now could still be in use.
        if (type === 'date' || type.startsWith('timestamp')) return new Date(Date.now() - 60_000);
        return 0;
      };
      const names = own.map(({ column }) => sql.ref(column));
      const values = own.map((each) => sql`${value(each)}`);
      await sql`insert into ${sql.table(table)} (${sql.join(names)}) values (${sql.join(values)})`.execute(
        db,
      );
    }
  }

  /** Returns the tables in which a row contains the text, as such or in binary content. */
  async function search(text: string): Promise<string[]> {
    const hex = Buffer.from(text).toString('hex');
    const found: string[] = [];
    for (const table of new Set(columns.map(({ table: name }) => name))) {
      const { rows } = await sql<{ count: number }>`
        select count(*)::int as count from ${sql.table(table)} r
        where position(${text} in r::text) > 0 or position(${hex} in r::text) > 0`.execute(db);
      if ((rows[0]?.count ?? 0) > 0) found.push(table);
    }
    return found;
  }

  const run = async (command: AdminCommand, ...args: string[]): Promise<string[]> => {
    const lines: string[] = [];
    await command.run({ db, env: {}, args, print: (line) => lines.push(line) });
    return lines;
  };

  /**
   * Runs a command that dies after so many statements, and once more if it did.
   *
   * @returns the receipts of both runs, and whether the first one died
   */
  async function runTwice(
    args: string[],
    statements: number,
  ): Promise<{ receipts: unknown[]; died: boolean }> {
    const receipts: unknown[] = [];
    const forget = async (own: Db): Promise<void> => {
      receipts.push(await forgetCommand.run({ db: own, env: {}, args, print: () => undefined }));
    };
    const died = await forget(endAfter(db, statements)).then(
      () => false,
      (error: unknown) => {
        if (error instanceof EndedError) return true;
        throw error;
      },
    );
    if (died) await forget(db);
    return { receipts, died };
  }

  test('of an owner leaves no byte of it in any table, and all of others', async () => {
    await fill('marker-of-ada', 'key:ada', uuidv7());
    await fill('marker-of-bob', 'key:bob', uuidv7());
    const all = await search('marker-of-ada');
    assert.ok(all.length > 15, all.join());
    const exported = (await run(exportCommand, '--owner', 'key:ada')).join('\n');
    assert.ok(exported.includes('marker-of-ada') && !exported.includes('marker-of-bob'));
    assert.ok(exported.includes(Buffer.from('marker-of-ada').toString('base64')), 'the file');

    const [line] = await run(forgetCommand, '--owner', 'key:ada', '--yes');
    assert.equal(line, 'deleted 1 tasks and 1 schedules of key:ada');
    assert.deepEqual(await search('marker-of-ada'), []);
    assert.deepEqual(await search('key:ada'), []);
    assert.deepEqual(await search('marker-of-bob'), all);
    assert.match((await run(forgetCommand, '--owner', 'key:ada', '--yes')).join(), /^nothing to delete/);
  });

  test('of a task leaves no byte of it, and the usage of its owner', async () => {
    const taskId = uuidv7();
    await fill('marker-of-task', 'key:carl', taskId);
    await run(forgetCommand, '--task', taskId, '--yes');
    const left = await search('marker-of-task');
    assert.deepEqual(left, ['content_keys', 'ledger', 'schedule_firings', 'schedules']);
  });

  test('of an owner that dies after any statement is completed by the next run', async () => {
    let statements = 0;
    for (let died = true; died; statements += 1) {
      const owner = `key:dying-${statements}`;
      await fill(`marker-of-dying-${statements}`, owner, uuidv7());
      const result = await runTwice(['--owner', owner, '--yes'], statements);
      assert.equal(result.receipts.length, 1, `${statements} statements`);
      ({ died } = result);
    }
    assert.ok(statements > 10, `${statements} statements`);
    assert.deepEqual([await search('marker-of-dying'), await search('key:dying')], [[], []]);
  });

  test('of a task that dies after any statement is completed by the next run', async () => {
    let statements = 0;
    for (let died = true; died; statements += 1) {
      const taskId = uuidv7();
      await fill(`marker-of-dead-${statements}`, `key:dead-${statements}`, taskId);
      const result = await runTwice(['--task', taskId, '--yes'], statements);
      assert.equal(result.receipts.length, 1, `${statements} statements`);
      ({ died } = result);
    }
    assert.ok(statements > 3, `${statements} statements`);
    assert.deepEqual(await search('marker-of-dead'), [
      'content_keys',
      'ledger',
      'schedule_firings',
      'schedules',
    ]);
  });

  test('needs a confirmation, and one task or one owner', async () => {
    for (const args of [
      [],
      ['--owner', 'key:bob'],
      ['--task', 'x', '--yes'],
      ['--task', uuidv7(), '--owner', 'key:bob', '--yes'],
    ]) {
      await assert.rejects(run(forgetCommand, ...args), /forget expects/);
    }
    assert.match((await run(forgetCommand, '--task', uuidv7(), '--yes')).join(), /^nothing to delete/);
  });

  /** Inserts tasks without contents. */
  async function insertTasks(owner: string, count: number): Promise<string[]> {
    const ids = Array.from({ length: count }, () => uuidv7()).toSorted();
    for (const [index, id] of ids.entries()) {
      await sql`insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown)
        values (${id}, ${String(index)}, ${owner}, 'c', 'h', 'TASK_STATE_COMPLETED', now(), true)`.execute(
        db,
      );
    }
    return ids;
  }
  const getCursors = (lines: readonly string[]): (string | undefined)[] =>
    lines.map((line) => (JSON.parse(line) as { cursor?: string }).cursor);

  test('an export continues after its last line', async () => {
    const ids = await insertTasks('key:dora', 2);
    assert.deepEqual(getCursors(await run(exportCommand, '--owner', 'key:dora')), ids);
    const rest = await run(exportCommand, '--owner', 'key:dora', '--after', ids[0]!);
    assert.deepEqual(getCursors(rest), [ids[1]]);
  });

  test('an export that dies after any statement is completed by the next run', async () => {
    const ids = await insertTasks('key:emil', 3);
    let statements = 0;
    for (let died = true; died; statements += 1) {
      const lines: string[] = [];
      const write = (own: Db, more: readonly string[]): Promise<unknown> => {
        const print = (line: string): void => void lines.push(line);
        return Promise.resolve(
          exportCommand.run({ db: own, env: {}, args: ['--owner', 'key:emil', ...more], print }),
        );
      };
      died = await write(endAfter(db, statements), []).then(
        () => false,
        () => true,
      );
      const last = getCursors(lines).at(-1);
      if (died) await write(db, last === undefined ? [] : ['--after', last]);
      assert.deepEqual(getCursors(lines), ids, `${statements} statements`);
    }
    assert.equal(statements, 7);
  });
});
