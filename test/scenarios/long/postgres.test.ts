import assert from 'node:assert/strict';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { findPostgresPackage, findPostgresBinaries } from '#services/local/postgres/binaries.ts';
import { startPostgres } from '#services/local/postgres/postgres.ts';
import { canEnter, getNobody } from '#services/local/processes/system-user.ts';
import { freePort } from '../../support/network/ports.ts';
import { isAlive, runNode, waitUntilGone, getUserId } from '../../support/processes/processes.ts';
import { createTempDir } from '../../support/temp-dir.ts';

const holder = fileURLToPath(new URL('../../support/database/postgres-holder.ts', import.meta.url));
const isRoot = process.getuid?.() === 0;
const canRunAsNobody = isRoot && canEnter(path.dirname(holder), getNobody());
/** The user that runs PostgreSQL. */
const serverUser = isRoot ? getNobody().uid : process.getuid?.();

function readServerPid(dataDir: string): number {
  return Number(readFileSync(path.join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows.flat();
  } finally {
    await client.end();
  }
}

describe('embedded PostgreSQL', { timeout: 180_000 }, () => {
  test('keeps committed data over a stop and a crash', async (t) => {
    const dataDir = createTempDir(t);
    const first = await startPostgres({ dataDir, port: await freePort() });
    await query(first.url, 'CREATE TABLE durable (n int)');
    await query(first.url, 'INSERT INTO durable VALUES (1)');
    await first.stop();
    assert.equal(await first.exited, 0);

    const second = await startPostgres({ dataDir, port: first.port });
    assert.equal(second.url, first.url);
    await query(second.url, 'INSERT INTO durable VALUES (2)');
    await second.kill();
    assert.notEqual(await second.exited, 0);

    const third = await startPostgres({ dataDir });
    t.after(() => third.kill());
    assert.deepEqual(await query(third.url, 'SELECT n FROM durable ORDER BY n'), [1, 2]);
  });

  test('runs as the right user with durable settings and a private password', async (t) => {
    const dataDir = createTempDir(t);
    const postgres = await startPostgres({ dataDir });
    t.after(() => postgres.kill());
    const settings = `SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings
      WHERE name IN ('fsync', 'synchronous_commit', 'jit', 'listen_addresses', 'server_encoding')`;
    assert.deepEqual(await query(postgres.url, settings), ['on off 127.0.0.1 UTF8 on']);

    const wrong = new URL(postgres.url);
    wrong.password = 'wrong';
    await assert.rejects(query(wrong.href, 'SELECT 1'), { code: '28P01' });
    assert.equal(statSync(path.join(dataDir, 'postgres.password')).mode & 0o777, 0o600);

    // The directory has mode 0700. It is made enterable if necessary, because it was empty.
    assert.equal(postgres.dataDir, dataDir);
    assert.equal(statSync(path.join(dataDir, 'postgres')).uid, serverUser);
    assert.equal(getUserId(readServerPid(dataDir)), serverUser);
  });

  test('refuses a second start on the same data and names the process that uses it', async (t) => {
    const dataDir = createTempDir(t);
    const running = runNode(t, [holder, dataDir]);
    await running.line(/^ready/);
    await assert.rejects(startPostgres({ dataDir }), {
      name: 'DataInUseError',
      message: new RegExp(`in use by process ${running.child.pid}\\b`),
    });
  });

  test('ends when its parent is killed and can be started again immediately', async (t) => {
    const dataDir = createTempDir(t);
    const running = runNode(t, [holder, dataDir]);
    await running.line(/^ready/);
    const pid = readServerPid(dataDir);
    assert.ok(isAlive(pid));
    running.child.kill('SIGKILL');
    await running.exited;
    const next = await startPostgres({ dataDir });
    t.after(() => next.kill());
    assert.ok(!isAlive(pid));
    const nextPid = readServerPid(dataDir);
    await next.stop();
    await waitUntilGone([nextPid], 10_000);
  });

  test('starts when its pid file names an unrelated process', async (t) => {
    const dataDir = createTempDir(t);
    const first = await startPostgres({ dataDir });
    await first.stop();
    const script = 'setInterval(() => {}, 1000); console.log("here")';
    const unrelated = runNode(t, ['-e', script], isRoot ? getNobody() : {});
    await unrelated.line(/here/);
    writeFileSync(
      path.join(dataDir, 'postgres', 'postmaster.pid'),
      `${unrelated.child.pid}\n/elsewhere\n0\n5432\n\n\n\n`,
    );
    const second = await startPostgres({ dataDir });
    await second.kill();
    assert.ok(isAlive(unrelated.child.pid!));
  });

  test('stores the data elsewhere if other users cannot enter it', { skip: !isRoot }, async (t) => {
    const home = path.join(createTempDir(t), 'home');
    mkdirSync(home, { mode: 0o700 });
    const postgres = await startPostgres({ dataDir: path.join(home, 'project', '.longhaul') });
    t.after(async () => {
      await postgres.kill();
      rmSync(postgres.dataDir, { recursive: true, force: true });
    });
    assert.ok(!postgres.dataDir.startsWith(home));
    assert.equal(statSync(home).mode & 0o777, 0o700);
    assert.deepEqual(await query(postgres.url, 'SELECT 1'), [1]);
  });

  test('runs for an ordinary user', { skip: !canRunAsNobody }, async (t) => {
    const dir = createTempDir(t);
    chmodSync(dir, 0o777);
    const dataDir = path.join(dir, 'data');
    const running = runNode(t, [holder, dataDir], getNobody());
    const [, url = ''] = await running.line(/^ready (\S+)/);
    assert.deepEqual(await query(url, 'SELECT 1'), [1]);
    const pid = readServerPid(dataDir);
    running.child.kill('SIGTERM');
    assert.equal((await running.exited).code, 0);
    assert.ok(!isAlive(pid));
  });

  test('copies an unusable installation once', async (t) => {
    const dir = createTempDir(t);
    const installed = findPostgresPackage();
    const packageDir = path.join(dir, 'package');
    cpSync(path.join(installed.packageDir, 'native'), path.join(packageDir, 'native'), {
      recursive: true,
      filter: (source) => !statSync(source).isFile() || !source.endsWith('.a'),
    });
    // Without the links to its libraries, and closed to other users, the installation does not run.
    const lib = path.join(packageDir, 'native', 'lib');
    for (const name of readdirSync(lib)) {
      if (/^lib(icu|pq).*\.so(\.\d+)?$/.test(name)) rmSync(path.join(lib, name));
    }
    chmodSync(packageDir, 0o700);
    const copyDir = path.join(dir, 'copies');
    mkdirSync(copyDir);
    chmodSync(dir, 0o711);

    const user = isRoot ? getNobody() : undefined;
    const from = { packageDir, version: installed.version };
    const first = await findPostgresBinaries(user, from, [copyDir]);
    assert.ok(first.postgres.startsWith(copyDir));
    const inode = statSync(first.postgres).ino;
    const second = await findPostgresBinaries(user, from, [copyDir]);
    assert.equal(statSync(second.postgres).ino, inode);
  });
});
