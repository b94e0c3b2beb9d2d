/** An owner whose statements wait leaves connections for others. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { forOwner } from '#shared/db/client/owner-connections.ts';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import { runTransaction } from '#shared/db/client/transaction.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { waitFor } from '../../../support/wait-for.ts';

const { pool, url } = await connectToTestDatabase({ direct: true });
await pool.query(`insert into agents (hash, definition) values ('a', '{}')`);

function open(t: TestContext, poolSize: number): Db {
  const { db } = openDatabase({ database: { url, poolSize }, applicationName: 'owners' });
  t.after(() => db.destroy());
  return db;
}

const lock = (db: Db) =>
  runTransaction(db, (trx) => sql`select from agents where hash = 'a' for update`.execute(trx));
const read = (db: Db) => sql`select 1`.execute(db);

async function countWaiting(): Promise<number> {
  const { rowCount } = await pool.query(
    `select from pg_stat_activity where application_name like 'owners%' and wait_event_type = 'Lock'`,
  );
  return rowCount ?? 0;
}

describe('the connections of an owner', () => {
  for (const [poolSize, own] of [
    [2, 1],
    [10, 2],
    [40, 4],
  ] as const) {
    test(`are ${own} of ${poolSize}`, async (t) => {
      const db = open(t, poolSize);
      const holder = await pool.connect();
      await holder.query(`begin; select from agents where hash = 'a' for update`);
      const changes = Array.from({ length: 50 }, () => lock(forOwner(db, 'alice')));
      await waitFor('the owner to wait for the row', async () => (await countWaiting()) === own);
      await read(db);
      if (poolSize > 2) await read(forOwner(db, 'bob'));
      assert.equal(await countWaiting(), own);
      await holder.query('commit');
      holder.release();
      assert.equal((await Promise.all(changes)).length, 50);
      await read(forOwner(db, 'bob'));
    });
  }

  test('are free again after errors, of statements and of the database', async (t) => {
    const db = open(t, 2);
    for (let n = 0; n < 3; n++) {
      await assert.rejects(sql`select no_such_column`.execute(forOwner(db, 'alice')), /no_such_column/);
      await assert.rejects(sql`select pg_terminate_backend(pg_backend_pid())`.execute(forOwner(db, 'alice')));
    }
    await read(forOwner(db, 'alice'));
    const closed = openDatabase({
      database: { url: 'postgres://127.0.0.1:1/none', poolSize: 2 },
      applicationName: 'owners',
    });
    t.after(() => closed.db.destroy());
    for (let n = 0; n < 3; n++) await assert.rejects(read(forOwner(closed.db, 'alice')), /ECONNREFUSED/);
  });
});
