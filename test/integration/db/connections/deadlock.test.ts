/** A deadlock with another transaction: the statement or transaction that met it runs again. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import { runTransaction } from '#shared/db/client/transaction.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { waitFor } from '../../../support/wait-for.ts';

const { pool, url } = await connectToTestDatabase({ direct: true });
await pool.query(`insert into agents (hash, definition) values ('a', '{}'), ('b', '{}')`);

async function open(t: TestContext): Promise<Db> {
  await pool.query(`alter database ${new URL(url).pathname.slice(1)} set deadlock_timeout = '500ms'`);
  const { db } = openDatabase({ database: { url, poolSize: 1 }, applicationName: 'deadlock' });
  t.after(() => db.destroy());
  return db;
}

const lockBoth = (db: Db) => sql`select from agents order by hash for update`.execute(db);

/** Holds the second row while `run` locks both, and then asks for the first. */
async function meetDeadlock(run: () => Promise<{ rows: unknown[] }>): Promise<void> {
  const intruder = await pool.connect();
  await intruder.query(`set deadlock_timeout = '1min'`);
  await intruder.query('begin');
  await intruder.query(`select from agents where hash = 'b' for update`);
  const running = run();
  await waitFor('the lock that is held', async () => {
    const { rowCount } = await pool.query(
      `select from pg_stat_activity where application_name = 'deadlock' and wait_event_type = 'Lock'`,
    );
    return rowCount === 1;
  });
  await intruder.query(`select from agents where hash = 'a' for update`);
  await intruder.query('commit');
  intruder.release(true);
  assert.equal((await running).rows.length, 2);
}

describe('a deadlock', () => {
  test('repeats the statement that met it', async (t) => {
    const db = await open(t);
    await meetDeadlock(() => lockBoth(db));
  });

  test('repeats the transaction that met it', async (t) => {
    const db = await open(t);
    let runs = 0;
    await meetDeadlock(() => runTransaction(db, (trx) => ((runs += 1), lockBoth(trx))));
    assert.ok(runs >= 2);
  });
});
