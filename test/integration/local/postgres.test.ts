import assert from 'node:assert/strict';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { findPostgresPackage, findPostgresBinaries } from '#services/local/postgres/binaries.ts';
import { startPostgres } from '#services/local/postgres/postgres.ts';
import { canEnter, getNobody } from '#services/local/processes/system-user.ts';
import { freePort } from '../../support/ports.ts';
import { isAlive, runNode, waitUntilGone, getUserId } from '../../support/processes/processes.ts';

const holder = fileURLToPath(new URL('../../support/database/postgres-holder.ts', import.meta.url));
const isRoot = process.getuid?.() === 0;
const timeout = 60_000;

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'longhaul-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function serverPid(dataDir: string): number {
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

test(
  'a server of the right user and password keeps what was committed over a stop and a crash',
  { timeout },
  async (t) => {
    const dataDir = tempDir(t);
    const first = await startPostgres({ dataDir, port: await freePort() });
    await query(first.url, 'CREATE TABLE kept (n int)');
    await query(first.url, 'INSERT INTO kept VALUES (1)');
    assert.deepEqual(
      await query(
        first.url,
        `SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings
       WHERE name IN ('fsync', 'synchronous_commit', 'jit', 'listen_addresses', 'server_encoding')`,
      ),
      ['on off 127.0.0.1 UTF8 on'],
    );

    const wrong = new URL(first.url);
    wrong.password = 'wrong';
    await assert.rejects(query(wrong.href, 'SELECT 1'), { code: '28P01' });
    assert.equal(statSync(path.join(dataDir, 'postgres.password')).mode & 0o777, 0o600);

    assert.equal(first.dataDir, dataDir); // 0700: opened for passage if need be, because it was empty
    const runner = isRoot ? getNobody().uid : process.getuid?.();
    assert.equal(statSync(path.join(dataDir, 'postgres')).uid, runner);
    assert.equal(getUserId(serverPid(dataDir)), runner);

    await first.stop();
    assert.equal(await first.exited, 0);

    const second = await startPostgres({ dataDir, port: first.port });
    assert.equal(second.url, first.url);
    await query(second.url, 'INSERT INTO kept VALUES (2)');
    await second.kill();
    assert.notEqual(await second.exited, 0);

    const third = await startPostgres({ dataDir });
    t.after(() => third.kill());
    assert.deepEqual(await query(third.url, 'SELECT n FROM kept ORDER BY n'), [1, 2]);
  },
);

test(
  'a second start on the same data is refused, and names the process that holds them',
  { timeout },
  async (t) => {
    const dataDir = tempDir(t);
    const held = runNode(t, [holder, dataDir]);
    await held.line(/^ready/);
    await assert.rejects(startPostgres({ dataDir }), {
      name: 'DataInUseError',
      message: new RegExp(`in use by process ${held.child.pid}\\b`),
    });
  },
);

test(
  'after SIGKILL of the parent the server ends by itself, and a start at once succeeds',
  { timeout },
  async (t) => {
    const dataDir = tempDir(t);
    const held = runNode(t, [holder, dataDir]);
    await held.line(/^ready/);
    const pid = serverPid(dataDir);
    assert.ok(isAlive(pid));
    held.child.kill('SIGKILL');
    await held.exited;
    const next = await startPostgres({ dataDir });
    t.after(() => next.kill());
    assert.ok(!isAlive(pid));
    const last = serverPid(dataDir);
    await next.stop();
    await waitUntilGone([last], 10_000);
  },
);

test('a pid file that names a stranger does not keep the server from starting', { timeout }, async (t) => {
  const dataDir = tempDir(t);
  const first = await startPostgres({ dataDir });
  await first.stop();
  const stranger = runNode(
    t,
    ['-e', 'setInterval(() => {}, 1000); console.log("here")'],
    isRoot ? getNobody() : {},
  );
  await stranger.line(/here/);
  writeFileSync(
    path.join(dataDir, 'postgres', 'postmaster.pid'),
    `${stranger.child.pid}\n/elsewhere\n0\n5432\n\n\n\n`,
  );
  const second = await startPostgres({ dataDir });
  await second.kill();
  assert.ok(isAlive(stranger.child.pid!));
});

test(
  'root finds another place for data in a directory that is closed to others',
  { timeout, skip: !isRoot },
  async (t) => {
    const closed = path.join(tempDir(t), 'home');
    mkdirSync(closed, { mode: 0o700 });
    const postgres = await startPostgres({ dataDir: path.join(closed, 'project', '.longhaul') });
    t.after(async () => {
      await postgres.kill();
      rmSync(postgres.dataDir, { recursive: true, force: true });
    });
    assert.ok(!postgres.dataDir.startsWith(closed));
    assert.equal(statSync(closed).mode & 0o777, 0o700);
    assert.deepEqual(await query(postgres.url, 'SELECT 1'), [1]);
  },
);

const canRunAsNobody = isRoot && canEnter(path.dirname(holder), getNobody());
test('an ordinary user needs nothing more', { timeout, skip: !canRunAsNobody }, async (t) => {
  const dir = tempDir(t);
  chmodSync(dir, 0o777);
  const dataDir = path.join(dir, 'data');
  const held = runNode(t, [holder, dataDir], getNobody());
  const [, url = ''] = await held.line(/^ready (\S+)/);
  assert.deepEqual(await query(url, 'SELECT 1'), [1]);
  const pid = serverPid(dataDir);
  held.child.kill('SIGTERM');
  assert.equal((await held.exited).code, 0);
  assert.ok(!isAlive(pid));
});

test(
  'an installation without its library links, closed to others, is copied once',
  { timeout },
  async (t) => {
    const dir = tempDir(t);
    const installed = findPostgresPackage();
    const packageDir = path.join(dir, 'package');
    cpSync(path.join(installed.packageDir, 'native'), path.join(packageDir, 'native'), {
      recursive: true,
      filter: (source) => !statSync(source).isFile() || !source.endsWith('.a'),
    });
    const lib = path.join(packageDir, 'native', 'lib');
    for (const name of readdirSync(lib)) {
      if (/^lib(icu|pq).*\.so(\.\d+)?$/.test(name)) rmSync(path.join(lib, name));
    }
    chmodSync(packageDir, 0o700);
    const places = path.join(dir, 'places');
    mkdirSync(places);
    chmodSync(dir, 0o711);

    const user = isRoot ? getNobody() : undefined;
    const from = { packageDir, version: installed.version };
    const first = await findPostgresBinaries(user, from, [places]);
    assert.ok(first.postgres.startsWith(places));
    const made = statSync(first.postgres).ino;
    const second = await findPostgresBinaries(user, from, [places]);
    assert.equal(statSync(second.postgres).ino, made);
  },
);
