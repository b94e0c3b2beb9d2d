/** Connections and sessions of PostgreSQL that go bad without closing. */
import assert from 'node:assert/strict';
import { describe, mock, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { startSilentProxy, type SilentProxy } from '../../../support/network/silent-proxy.ts';

const queryTimeoutMs = 300;

async function openThroughProxy(t: TestContext, poolSize: number): Promise<{ db: Db; proxy: SilentProxy }> {
  const { url } = await connectToTestDatabase();
  const address = new URL(url);
  const proxy = await startSilentProxy(t, { host: address.hostname, port: Number(address.port) });
  address.port = String(proxy.port);
  const { db } = openDatabase({
    database: { url: address.href, poolSize },
    queryTimeoutMs,
    applicationName: 'test',
  });
  t.after(() => db.destroy());
  return { db, proxy };
}

/** Opens all connections of the pool. */
async function warmUp(db: Db, poolSize: number): Promise<void> {
  await Promise.all(Array.from({ length: poolSize }, () => sql`select pg_sleep(0.05)`.execute(db)));
}

async function openDirectly(t: TestContext): Promise<Db> {
  const { url } = await connectToTestDatabase({ direct: true });
  const { db } = openDatabase({
    database: { url, poolSize: 1 },
    applicationName: 'test',
  });
  t.after(() => db.destroy());
  return db;
}

const getBackend = async (db: Db): Promise<number> => {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db);
  return rows[0]!.pid;
};

describe('connections that go silent', () => {
  test('are all replaced after the first timeout', async (t) => {
    const { db, proxy } = await openThroughProxy(t, 10);
    await warmUp(db, 10);
    assert.ok(proxy.open >= 10);
    proxy.silence();
    await assert.rejects(sql`select 1`.execute(db), /timeout/);
    const startedAt = performance.now();
    for (let query = 0; query < 20; query++) await sql`select 1`.execute(db);
    assert.ok(performance.now() - startedAt < queryTimeoutMs * 5, 'no query met a silent connection');
  });

  test('do not hold up the rollback of their transaction', async (t) => {
    const { db, proxy } = await openThroughProxy(t, 1);
    const startedAt = performance.now();
    await assert.rejects(
      db.transaction().execute(async (trx) => {
        await sql`select 1`.execute(trx);
        proxy.silence();
        await sql`select 1`.execute(trx);
      }),
      /timeout/,
    );
    assert.ok(performance.now() - startedAt < queryTimeoutMs * 5);
    await sql`select 1`.execute(db);
  });
});

describe('readiness', () => {
  async function open(t: TestContext) {
    const { db, url } = await connectToTestDatabase({ direct: true });
    const options = { database: { url, poolSize: 2 }, queryTimeoutMs, applicationName: 'test' };
    const { db: own, checkReady } = openDatabase(options);
    t.after(() => own.destroy());
    return { db, url, own, checkReady };
  }

  test('fails while statements of the hot path time out, although a probe gets an answer', async (t) => {
    const { db, own, checkReady } = await open(t);
    const read = () =>
      sql`-- prepared
      select count(*) from agents`.execute(own);
    await checkReady();
    await db.transaction().execute(async (lock) => {
      await sql`lock table agents`.execute(lock);
      for (let failure = 1; failure <= 3; failure++) await assert.rejects(read(), /timeout/);
      await assert.rejects(checkReady(), /^NotReadyError: 3 statements have failed in the last 10 seconds/);
    });
    for (let success = 1; success <= 11; success++) await read();
    await assert.rejects(checkReady(), /3 statements/, 'one success more is needed');
    await read();
    await checkReady();
  });

  test('fails while the database is read-only, and recovers by itself', async (t) => {
    const { db, url, checkReady } = await open(t);
    const name = sql.id(new URL(url).pathname.slice(1));
    await sql`alter database ${name} set default_transaction_read_only = on`.execute(db);
    for (let check = 1; check <= 3; check++) await assert.rejects(checkReady(), /read-only transaction/);
    await sql`alter database ${name} set default_transaction_read_only = off`.execute(db);
    // The first check meets the session that is still read-only only if it was kept.
    await checkReady();
  });
});

describe('a session', () => {
  test('is replaced when it is 30 minutes old, once it is not in use', async (t) => {
    mock.timers.enable({ apis: ['setTimeout'] });
    t.after(() => mock.timers.reset());
    const db = await openDirectly(t);
    const before = await getBackend(db);
    await db.connection().execute(async (connection) => {
      mock.timers.tick(1_799_000);
      assert.equal(await getBackend(connection), before);
      mock.timers.tick(1_000);
      assert.equal(await getBackend(connection), before);
    });
    assert.notEqual(await getBackend(db), before);
  });

  test('is replaced when it has become read-only', async (t) => {
    const db = await openDirectly(t);
    const before = await getBackend(db);
    await sql`set session characteristics as transaction read only`.execute(db);
    const insert = sql`insert into agents (hash, definition) values ('read-only', '{}')`;
    await assert.rejects(insert.execute(db), { code: '25006' });
    await insert.execute(db);
    assert.notEqual(await getBackend(db), before);
  });

  test('is kept after an error of the statement', async (t) => {
    const db = await openDirectly(t);
    const before = await getBackend(db);
    await assert.rejects(sql`select 1 / 0`.execute(db), { code: '22012' });
    assert.equal(await getBackend(db), before);
  });

  test('reads timestamps when the database has another date style', async (t) => {
    const { db, url } = await connectToTestDatabase({ direct: true });
    await sql`alter database ${sql.id(new URL(url).pathname.slice(1))} set datestyle = 'German'`.execute(db);
    const other = openDatabase({
      database: { url, poolSize: 1 },
      applicationName: 'test',
    });
    t.after(() => other.db.destroy());
    const { rows } = await sql<{ at: Date }>`select '2026-02-01T03:04:05Z'::timestamptz as at`.execute(
      other.db,
    );
    assert.equal(rows[0]?.at.toISOString(), '2026-02-01T03:04:05.000Z');
  });
});
