/**
 * A separate database for each test file, on one real PostgreSQL server for the whole run. `npm test` starts
 * the server once (global-setup.ts) and passes its address in the environment; a file that runs alone
 * starts its own. Either way the server ends with the process that started it, even if that is killed.
 */
import { randomUUID } from 'node:crypto';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type Pool } from 'pg';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import type { Cleanup } from '../cleanup.ts';
import { encryptForAllTests } from './contents.ts';
import type { TestServer } from './test-server.ts';
import { portVariable, serverVariable } from './variables.ts';

export interface TestDatabase {
  readonly url: string;
  /** Drops the database, even if there are connections to it. */
  close: () => Promise<void>;
}

let own: Promise<TestServer> | undefined;
const closers: (() => Promise<unknown>)[] = [];
after(async () => {
  for (const close of closers.toReversed()) await close();
  await (await own)?.stop();
});

/** Registers a cleanup that runs after the tests of the file and before its server stops, last one first. */
export function beforeStop(close: () => Promise<unknown>): void {
  closers.push(close);
}

/** Creates a database with the newest schema. `direct` bypasses a pooler, for tests of logging in. */
export async function createTestDatabase({ direct = false } = {}): Promise<TestDatabase> {
  const { templateUrl, port } = await getTestServer();
  const template = new URL(templateUrl).pathname.slice(1);
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await administer(templateUrl, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  return {
    url: withDatabase(templateUrl, name, direct ? undefined : port),
    close: () => drop(templateUrl, name),
  };
}

export interface TestConnections {
  readonly db: Db;
  readonly pool: Pool;
  readonly url: string;
}

/** Creates a database and connects to it. Both are closed after the tests of the file. */
export async function connectToTestDatabase(options: { direct?: boolean } = {}): Promise<TestConnections> {
  const database = await createTestDatabase(options);
  beforeStop(() => database.close());
  return connectTo(database.url);
}

/** Opens a pool as another process would. It is closed after the tests of the file. */
export function connectTo(url: string): TestConnections {
  const { db, pool } = openTestPool(url);
  encryptForAllTests(db);
  beforeStop(() => pool.end());
  return { db, pool, url };
}

/** Creates a database and opens one connection to it, which reads its own statistics. Both are closed after the test. */
export async function openSingleConnection(t: Cleanup): Promise<{ db: Db; pool: Pool }> {
  const { url, close } = await createTestDatabase();
  const opened = openDatabase({ database: { url, poolSize: 1 }, applicationName: 'test' });
  t.after(async () => {
    await opened.db.destroy();
    await close();
  });
  return opened;
}

/** Opens a pool that the caller closes. */
export function openTestPool(url: string): { db: Db; pool: Pool } {
  return openDatabase({ database: { url, poolSize: 10 }, applicationName: 'test' });
}

async function getTestServer(): Promise<Pick<TestServer, 'templateUrl' | 'port'>> {
  const templateUrl = process.env[serverVariable];
  if (templateUrl !== undefined) return { templateUrl, port: Number(process.env[portVariable]) };
  // Loaded only by files that run alone: it is large.
  return (own ??= import('./test-server.ts').then(({ startTestServer }) => startTestServer()));
}

/** Runs a statement in another database: the template cannot be copied while there are connections to it. */
const administer = (templateUrl: string, statement: string) =>
  withAdministrator(templateUrl, (client) => client.query(statement));

/**
 * Drops a database. Connections that were closed a moment ago get up to a second to end: the server would send them an
 * error, which counts as a failure of the test.
 */
async function drop(templateUrl: string, name: string): Promise<void> {
  await withAdministrator(templateUrl, async (client) => {
    for (let attempt = 0; attempt < 40; attempt++) {
      const { rowCount } = await client.query('select from pg_stat_activity where datname = $1', [name]);
      if (rowCount === 0) break;
      await sleep(25);
    }
    await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  });
}

async function withAdministrator(
  templateUrl: string,
  run: (client: Client) => Promise<unknown>,
): Promise<void> {
  const client = new Client({ connectionString: withDatabase(templateUrl, 'postgres') });
  await client.connect();
  try {
    await run(client);
  } finally {
    await client.end();
  }
}

function withDatabase(url: string, name: string, port?: number): string {
  const changed = new URL(url);
  if (port !== undefined) changed.port = String(port);
  changed.pathname = `/${name}`;
  return changed.href;
}
