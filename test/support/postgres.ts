/**
 * A database of its own for each test file, on one real PostgreSQL server for the whole run. Under `npm test` the
 * server is started once (global-setup.ts) and its address handed down in the environment; a file that is run by hand
 * starts one for itself. Either way it ends with the process that started it, however that ends.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { migrateToLatest } from '#shared/db/migrate.ts';
import { Client } from 'pg';
import { startPostgres } from '../../services/local/postgres.ts';
import { isAlive } from './processes.ts';

export interface TestDatabase {
  readonly url: string;
  /** Drops the database, whoever is still connected to it. */
  close(): Promise<void>;
}

export interface TestServer {
  /** The address of the template: a database on which all migrations are applied. */
  readonly templateUrl: string;
  stop(): Promise<void>;
}

/** Names the address of the server of this run. */
export const serverVariable = 'LONGHAUL_TEST_POSTGRES';

let own: Promise<TestServer> | undefined;
after(async () => {
  await (await own)?.stop();
});

/** A fresh database with the newest schema. */
export async function testDatabase(): Promise<TestDatabase> {
  const templateUrl = process.env[serverVariable] ?? (await (own ??= startTestServer())).templateUrl;
  const template = new URL(templateUrl).pathname.slice(1);
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await administer(templateUrl, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  return {
    url: withDatabase(templateUrl, name),
    close: () => administer(templateUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/** Quick rather than durable: its data last as long as the tests. */
export async function startTestServer(): Promise<TestServer> {
  removeLeftData();
  const dataDir = path.join(os.tmpdir(), `${dataPrefix}${process.pid}`);
  mkdirSync(dataDir, { mode: 0o711 });
  const server = await startPostgres({
    dataDir,
    settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' },
  });
  await migrateToLatest(server.url);
  return {
    templateUrl: server.url,
    stop: async () => {
      await server.kill();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

const dataPrefix = 'longhaul-test-postgres-';

/** A run that was killed leaves no server, but its files. */
function removeLeftData(): void {
  for (const name of readdirSync(os.tmpdir())) {
    if (!name.startsWith(dataPrefix) || isAlive(Number(name.slice(dataPrefix.length)))) continue;
    rmSync(path.join(os.tmpdir(), name), { recursive: true, force: true });
  }
}

/** Runs one statement beside the template: nobody may be connected to that while it is copied. */
async function administer(templateUrl: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: withDatabase(templateUrl, 'postgres') });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function withDatabase(url: string, name: string): string {
  const other = new URL(url);
  other.pathname = `/${name}`;
  return other.href;
}
