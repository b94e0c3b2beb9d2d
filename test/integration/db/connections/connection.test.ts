/**
 * Connections to a real PostgreSQL server as AlloyDB requires them: over TLS, and with a token as the password.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { Client } from 'pg';
import { checkCapacity } from '#shared/db/client/capacity.ts';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import type { DatabaseAddress } from '#shared/runtime/config/database.ts';
import { createTestDatabase } from '../../../support/database/postgres.ts';
import { startTlsProxy } from '../../../support/database/tls-proxy.ts';
import { startMetadataServer } from '../../../support/fakes/metadata-server.ts';
import { createLineLog } from '../../../support/processes/log-lines.ts';
import { createTempDir } from '../../../support/temp-dir.ts';

function open(t: TestContext, address: DatabaseAddress): Db {
  const database = { ...address, poolSize: 2 };
  const { db } = openDatabase({ database, applicationName: 'test' });
  t.after(() => db.destroy());
  return db;
}

function hasOpenSsl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Creates a key and a self-signed certificate, which is its own authority. */
function createCertificate(dir: string, name: string): { key: string; certificate: string } {
  const key = path.join(dir, `${name}.key`);
  const certificate = path.join(dir, `${name}.crt`);
  const subject = ['-subj', `/CN=${name}`, '-days', '2'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate, ...subject],
    { stdio: 'ignore' },
  );
  return { key, certificate };
}

describe('connections over TLS', { skip: !hasOpenSsl() }, () => {
  /** A server that requires TLS, its certificate authority, and an unrelated one. */
  async function startTlsServer(t: TestContext): Promise<{ url: string; ca: string; otherCa: string }> {
    const dir = createTempDir(t);
    const own = createCertificate(dir, 'alloydb');
    const other = createCertificate(dir, 'other');
    const database = await createTestDatabase({ direct: true });
    t.after(() => database.close());
    return {
      url: await startTlsProxy(t, database.url, own),
      ca: readFileSync(own.certificate, 'utf8'),
      otherCa: readFileSync(other.certificate, 'utf8'),
    };
  }

  /** Queries the database. @returns `ok`, or the code or text of the error */
  const connect = (t: TestContext, address: DatabaseAddress): Promise<string> =>
    sql`select 1`.execute(open(t, address)).then(
      () => 'ok',
      (error: unknown) => (error as { code?: string }).code ?? String(error),
    );

  test('fail without TLS if the server requires it', async (t) => {
    const { url } = await startTlsServer(t);
    assert.match(await connect(t, { url }), /SSL connection is required|28000/);
  });

  test('accept any certificate with mode require', async (t) => {
    const { url } = await startTlsServer(t);
    assert.equal(await connect(t, { url, ssl: { mode: 'require' } }), 'ok');
  });

  test('send and receive large values', async (t) => {
    const { url } = await startTlsServer(t);
    const db = open(t, { url, ssl: { mode: 'require' } });
    const { rows } =
      await sql`select n, repeat(n::text, 3000000) as text from generate_series(1, 2) n`.execute(db);
    assert.deepEqual(
      rows,
      [1, 2].map((n) => ({ n, text: String(n).repeat(3_000_000) })),
    );
  });

  test('accept a certificate of the authority with mode verify-ca', async (t) => {
    const { url, ca } = await startTlsServer(t);
    assert.equal(await connect(t, { url, ssl: { mode: 'verify-ca', ca } }), 'ok');
  });

  test('reject a certificate of another authority with mode verify-ca', async (t) => {
    const { url, otherCa } = await startTlsServer(t);
    const ssl = { mode: 'verify-ca', ca: otherCa } as const;
    assert.equal(await connect(t, { url, ssl }), 'DEPTH_ZERO_SELF_SIGNED_CERT');
  });
});

describe('connections with IAM', () => {
  test('log in with the current token', async (t) => {
    const database = await createTestDatabase({ direct: true });
    const metadata = await startMetadataServer(t);
    process.env['GCE_METADATA_HOST'] = metadata.host;
    t.after(() => delete process.env['GCE_METADATA_HOST']);
    const user = `iam_${process.pid}@project.iam`;
    const admin = new Client({ connectionString: database.url });
    await admin.connect();
    t.after(async () => {
      await admin.query(`drop role "${user}"`);
      await admin.end();
      await database.close();
    });
    await admin.query(`create role "${user}" login password 'token-1'`);

    const url = new URL(database.url);
    const address = { url: `postgres://${encodeURIComponent(user)}@${url.host}${url.pathname}`, iam: true };
    metadata.setToken('token-1');
    const readUser = async (): Promise<string | undefined> => {
      const { db, pool } = openDatabase({
        database: { ...address, poolSize: 2 },
        applicationName: 'test',
      });
      try {
        const { rows } = await sql<{ user: string }>`select current_user as user`.execute(db);
        return rows[0]?.user;
      } finally {
        await pool.end();
      }
    };
    assert.equal(await readUser(), user);
    await admin.query(`alter role "${user}" password 'token-2'`);
    await assert.rejects(readUser(), /password authentication failed/);
    metadata.setToken('token-2');
    assert.equal(await readUser(), user);
    assert.ok(metadata.scopes.every((scope) => scope === 'https://www.googleapis.com/auth/alloydb.login'));
  });
});

describe('capacity check', () => {
  async function check(t: TestContext, config: { poolSize: number; plannedConnections: number }) {
    const database = await createTestDatabase({ direct: true });
    t.after(() => database.close());
    const { log, lines } = createLineLog();
    await checkCapacity(open(t, database), config, log);
    assert.equal(lines.length, 1);
    return lines[0]!;
  }

  test('logs no error if the connections suffice', async (t) => {
    const { level, available } = await check(t, { poolSize: 10, plannedConnections: 190 });
    assert.equal(level, 'debug');
    assert.equal(available, 197); // 200 less those reserved for superusers
  });

  test('logs an error if the services may open too many connections', async (t) => {
    const { level, message } = await check(t, { poolSize: 10, plannedConnections: 100_000 });
    assert.equal(level, 'error');
    assert.match(message, /lower DATABASE_POOL_SIZE or the instances/);
  });

  test('logs an error if one pool exceeds the connections', async (t) => {
    const { level } = await check(t, { poolSize: 500, plannedConnections: 0 });
    assert.equal(level, 'error');
  });
});

describe('marked statements', () => {
  test('are sent unprepared after a connection lost a prepared one', async (t) => {
    const database = await createTestDatabase({ direct: true });
    t.after(() => database.close());
    const { db } = openDatabase({
      database: { url: database.url, poolSize: 1 },
      applicationName: 'test',
    });
    t.after(() => db.destroy());
    const echo = async (n: number) =>
      (
        await sql<{ n: number }>`-- prepared
        select ${n}::int as n`.execute(db)
      ).rows[0]?.n;
    const countPrepared = async () =>
      (await sql<{ count: number }>`select count(*)::int as count from pg_prepared_statements`.execute(db))
        .rows[0]?.count;

    assert.equal(await echo(1), 1);
    assert.equal(await echo(2), 2);
    assert.equal(await countPrepared(), 1);
    // A pooler may assign another connection to each transaction.
    await sql`deallocate all`.execute(db);
    assert.equal(await echo(3), 3);
    assert.equal(await echo(4), 4);
    assert.equal(await countPrepared(), 0);
  });

  test('receive arrays unchanged, for every content', async (t) => {
    const database = await createTestDatabase({ direct: true });
    t.after(() => database.close());
    const db = open(t, { url: database.url });
    const echo = async (texts: (string | null)[], flags: (boolean | null)[]) => {
      const { rows } = await sql<{ texts: unknown; flags: unknown }>`-- prepared
        select ${texts}::text[] as texts, ${flags}::boolean[] as flags`.execute(db);
      return rows[0];
    };
    const plain = [
      '',
      'null',
      'NULL',
      ' a ',
      '{a,b}',
      'a"b',
      'a\\b',
      '\\n',
      JSON.stringify('a\n"\\"'),
      'é',
      '\u2028',
    ];
    assert.deepEqual((await echo(plain, []))?.texts, plain);
    for (const text of [...plain, 'a\nb', 'a\tb\\', '\u0001', '\u007f', '😀']) {
      const texts = [text, null, 'a'];
      const flags = [true, null, false];
      assert.deepEqual(await echo(texts, flags), { texts, flags }, JSON.stringify(text));
    }
    assert.deepEqual(await echo([], []), { texts: [], flags: [] });
  });
});
