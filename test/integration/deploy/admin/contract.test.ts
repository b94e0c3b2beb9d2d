/** `npm run admin -- contract` with a planted contraction: it waits until no older code uses the database. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { Client } from 'pg';
import { createContractCommand } from '#services/admin/contract.ts';
import { allMigrations, listWaitingContractions, migrateToLatest } from '#shared/db/schema/migrate.ts';
import { toSessionName } from '#shared/db/schema/migrations/contractions.ts';
import { beat } from '#shared/db/turns/heartbeats.ts';
import { runAdmin } from '../../../support/clients/admin.ts';
import { createTestDatabase, openTestPool } from '../../../support/database/postgres.ts';

/** A release that replaces a column: its code needs `amount`, that before `price`. */
const lists = {
  migrations: {
    ...allMigrations.migrations,
    '9998-orders': runs('create table orders (price integer)'),
    '9999-amount': runs('alter table orders add column amount integer'),
  },
  contractions: {
    '9999-amount': runs('alter table orders drop column price'),
  },
};

function runs(statement: string): Migration {
  return { up: async (db) => void (await sql.raw(statement).execute(db)) };
}

async function openDatabase(t: TestContext) {
  const { url, close } = await createTestDatabase({ direct: true });
  const { db } = openTestPool(url);
  const clients: Client[] = [];
  t.after(async () => {
    await Promise.all([db.destroy(), ...clients.map((client) => client.end())]);
    await close();
  });
  /** Connects as a process of a release does. */
  const connect = async (name: string): Promise<Client> => {
    const client = new Client({ connectionString: url, application_name: name });
    clients.push(client);
    await client.connect();
    return client;
  };
  const printed: string[] = [];
  const run = (...args: string[]) =>
    createContractCommand(lists, 5).run({
      db,
      env: { DATABASE_URL: url },
      args,
      print: (line) => printed.push(line),
    });
  const columns = async () => {
    const { rows } = await sql<{ name: string }>`
      select column_name as name from information_schema.columns where table_name = 'orders' order by ordinal_position`.execute(
      db,
    );
    return rows.map(({ name }) => name);
  };
  return { db, url, run, printed, columns, connect };
}

describe('admin contract', () => {
  test('drops a column once the sessions and the workers of older code have ended', async (t) => {
    const { db, url, run, printed, columns, connect } = await openDatabase(t);
    assert.deepEqual(await migrateToLatest({ url }, lists), ['9998-orders', '9999-amount']);
    assert.deepEqual(await columns(), ['price', 'amount']);
    assert.deepEqual(await listWaitingContractions({ url }, lists), ['9999-amount']);
    const old = await connect(toSessionName('longhaul-api', 0));
    await connect(toSessionName('longhaul-api', 1));
    for (const worker of ['1.0/host:1', '2.0/host:2']) await beat(db, worker);
    await assert.rejects(async () => run('--keep', '2.0'), {
      name: 'CommandError',
      message:
        /nothing was dropped: longhaul-api \(1 session\), (.*, )?the worker 1\.0\/host:1\. Run the command again/,
    });
    assert.deepEqual(await columns(), ['price', 'amount']);

    const waiting = run('--keep', '2.0', '--wait', '60');
    await db.deleteFrom('worker_heartbeats').where('worker', '=', '1.0/host:1').execute();
    await old.end();
    assert.deepEqual(await waiting, { ran: ['9999-amount'] });
    assert.deepEqual(await columns(), ['amount']);
    await run();
    assert.match(printed.join('\n'), /^dropped .*: 9999-amount\nnothing to drop/);
  });

  test('has nothing to do on a new database, which gets both halves', async (t) => {
    const { db, url, run, printed, columns, connect } = await openDatabase(t);
    await sql`drop schema public cascade`.execute(db);
    await sql`create schema public`.execute(db);
    const applied = await migrateToLatest({ url }, lists);
    assert.deepEqual(applied.slice(-3), ['9998-orders', '9999-amount', '9999-amount']);
    assert.deepEqual(await columns(), ['amount']);
    await connect('longhaul-api');
    await run();
    assert.match(printed.join('\n'), /^nothing to drop/);
  });

  test('reports a contraction that fails, and drops nothing', async (t) => {
    const { url, run } = await openDatabase(t);
    await migrateToLatest({ url }, { ...lists, migrations: allMigrations.migrations });
    // The session of the migration may end a moment later.
    await assert.rejects(async () => run('--wait', '10'), /a migration failed and was rolled back/);
    assert.deepEqual(await listWaitingContractions({ url }, lists), ['9999-amount']);
  });

  test('refuses arguments that it does not know', async (t) => {
    const { url } = await openDatabase(t);
    const env = { DATABASE_URL: url };
    assert.match((await runAdmin(env, 'contract', '--wait', 'long')).output, /--wait must be a number/);
    assert.equal((await runAdmin(env, 'contract', '--now')).code, 1);
    assert.match((await runAdmin(env, 'contract')).output, /nothing to drop/);
  });
});
