/** Connections as AlloyDB asks for them, against a real PostgreSQL server: over TLS, and with a token as password. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { Client } from 'pg';
import { checkCapacity } from '#shared/db/client/capacity.ts';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import type { DatabaseAddress } from '#shared/runtime/config/database.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { startMetadataServer } from '../../support/fakes/metadata-server.ts';
import { runNode } from '../../support/processes/processes.ts';
import { testDatabase } from '../../support/database/postgres.ts';
import { startTlsProxy } from '../../support/database/tls-proxy.ts';

function open(t: TestContext, address: DatabaseAddress): Db {
  const options = { poolSize: 2, applicationName: 'test', onError: () => undefined };
  const { db } = openDatabase({ ...address, ...options });
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

/** A key and a certificate that it signed itself, so that the certificate is its own authority. */
function makeCertificate(dir: string, name: string): { key: string; certificate: string } {
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

test('TLS: required, verified by its authority, refused by another', { skip: !hasOpenSsl() }, async (t) => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'longhaul-tls-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const own = makeCertificate(dir, 'alloydb');
  const other = makeCertificate(dir, 'somebody-else');
  const database = await testDatabase({ direct: true });
  t.after(() => database.close());
  const url = await startTlsProxy(t, database.url, own);

  const ca = readFileSync(own.certificate, 'utf8');
  const answers = async (address: DatabaseAddress): Promise<unknown> =>
    sql`select 1`.execute(open(t, address)).then(
      () => 'ok',
      (error: unknown) => (error as { code?: string }).code ?? String(error),
    );
  assert.match(String(await answers({ url })), /SSL connection is required|28000/);
  assert.equal(await answers({ url, ssl: { mode: 'require' } }), 'ok');
  assert.equal(await answers({ url, ssl: { mode: 'verify-ca', ca } }), 'ok');
  const wrong = readFileSync(other.certificate, 'utf8');
  assert.equal(await answers({ url, ssl: { mode: 'verify-ca', ca: wrong } }), 'DEPTH_ZERO_SELF_SIGNED_CERT');
});

test('IAM: each new connection logs in with the token of that time', async (t) => {
  const database = await testDatabase({ direct: true });
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
  const who = async (): Promise<string | undefined> => {
    const { db, pool } = openDatabase({
      ...address,
      poolSize: 2,
      applicationName: 'test',
      onError: () => undefined,
    });
    try {
      const { rows } = await sql<{ who: string }>`select current_user as who`.execute(db);
      return rows[0]?.who;
    } finally {
      await pool.end();
    }
  };
  assert.equal(await who(), user);
  await admin.query(`alter role "${user}" password 'token-2'`);
  await assert.rejects(who(), /password authentication failed/);
  metadata.setToken('token-2');
  assert.equal(await who(), user);
  assert.ok(metadata.scopes.every((scope) => scope === 'https://www.googleapis.com/auth/alloydb.login'));
});

test('connections that do not add up are an error in the log', async (t) => {
  const database = await testDatabase({ direct: true });
  t.after(() => database.close());
  const lines: { level: string; message: string; available: number }[] = [];
  const level = (name: string) => (line: { available: number }, message: string) =>
    lines.push({ level: name, message, available: line.available });
  const log = { error: level('error'), debug: level('debug'), warn: level('warn') } as unknown as Logger;
  const db = open(t, database);
  await checkCapacity(db, { poolSize: 10, plannedConnections: 190 }, log);
  await checkCapacity(db, { poolSize: 10, plannedConnections: 100_000 }, log);
  await checkCapacity(db, { poolSize: 500, plannedConnections: 0 }, log);
  assert.deepEqual(
    lines.map((line) => line.level),
    ['debug', 'error', 'error'],
  );
  assert.equal(lines[0]?.available, 197); // 200 less those kept for superusers
  assert.match(lines[1]!.message, /lower DATABASE_POOL_SIZE or the instances/);
});

test('a migration makes the database, and the services may write rows but not change tables', async (t) => {
  const template = await testDatabase({ direct: true });
  const name = `made_${process.pid}`;
  const user = `app_${process.pid}`;
  const admin = new Client({ connectionString: template.url });
  await admin.connect();
  t.after(async () => {
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.query(`drop role ${user}`);
    await admin.end();
    await template.close();
  });
  await admin.query(`create role ${user} login password 'p'`);
  const url = new URL(template.url);
  url.pathname = `/${name}`;
  const env = { DATABASE_URL: url.href, DATABASE_CREATE: 'true', DATABASE_GRANT_TO: user };
  for (const said of [/schema migrated/, /is up to date/]) {
    const migrate = runNode(t, ['services/migrate/main.ts'], { env });
    assert.equal((await migrate.exited).code, 0, migrate.output());
    assert.match(migrate.output(), said);
  }

  [url.username, url.password] = [user, 'p'];
  const app = open(t, { url: url.href });
  await app.deleteFrom('agents').execute();
  await assert.rejects(sql`create table mine ()`.execute(app), /permission denied for schema public/);
  await assert.rejects(sql`alter table agents add column mine text`.execute(app), /must be owner/);
});

test('marked statements are prepared, and sent whole once a connection turns out not to keep them', async (t) => {
  const database = await testDatabase({ direct: true });
  t.after(() => database.close());
  const options = { poolSize: 1, applicationName: 'test', onError: () => undefined };
  const { db } = openDatabase({ url: database.url, ...options });
  t.after(() => db.destroy());
  const ask = async (n: number) =>
    (
      await sql<{ n: number }>`-- prepared
      select ${n}::int as n`.execute(db)
    ).rows[0]?.n;
  const prepared = async () =>
    (await sql<{ count: number }>`select count(*)::int as count from pg_prepared_statements`.execute(db))
      .rows[0]?.count;

  assert.equal(await ask(1), 1);
  assert.equal(await ask(2), 2);
  assert.equal(await prepared(), 1);
  // What a pooler does that gives each transaction another connection.
  await sql`deallocate all`.execute(db);
  assert.equal(await ask(3), 3);
  assert.equal(await ask(4), 4);
  assert.equal(await prepared(), 0);
});

test('arrays reach prepared statements as they are, whatever is in them', async (t) => {
  const database = await testDatabase({ direct: true });
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
