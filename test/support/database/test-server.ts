/** The PostgreSQL server of a test run, with a template database on which all migrations are applied. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { allMigrations, migrateToLatest } from '#shared/db/schema/migrate.ts';
import { grantTables } from '#shared/db/schema/provision.ts';
import { startPostgres } from '#services/local/postgres/postgres.ts';
import { localUsers } from '#services/local/postgres/users.ts';
import { startPgBouncer } from './pgbouncer.ts';
import { isAlive } from '../processes/processes.ts';

export interface TestServer {
  /** The address of the template database, on which all migrations are applied. */
  readonly templateUrl: string;
  /** The port that tests connect to: the server's, or that of the pgbouncer in front of it. */
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Starts a server that is fast rather than durable: its data lasts as long as the tests.
 *
 * @param lists those of this version, or a part of them
 */
export async function startTestServer(lists = allMigrations): Promise<TestServer> {
  removeOldData();
  const dataDir = path.join(os.tmpdir(), `${dataPrefix}${process.pid}`);
  mkdirSync(dataDir, { mode: 0o711 });
  const server = await startPostgres({
    dataDir,
    // The log is kept for a search (contents.ts).
    settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', wal_keep_size: '128MB' },
  });
  await migrateToLatest(server, lists);
  await grantTables(server, localUsers);
  const bouncer =
    process.env['TEST_PGBOUNCER'] === '1' ? await startPgBouncer(server.url, server.dataDir) : undefined;
  return {
    templateUrl: server.url,
    port: bouncer?.port ?? server.port,
    stop: async () => {
      await bouncer?.stop();
      await server.kill();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

const dataPrefix = 'longhaul-test-postgres-';

/** Removes the files of runs that were killed. */
function removeOldData(): void {
  for (const name of readdirSync(os.tmpdir())) {
    if (!name.startsWith(dataPrefix) || isAlive(Number(name.slice(dataPrefix.length)))) continue;
    rmSync(path.join(os.tmpdir(), name), { recursive: true, force: true });
  }
}
