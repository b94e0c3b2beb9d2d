/** The PostgreSQL server of a test run, with a template database on which all migrations are applied. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { migrateToLatest } from '#shared/db/schema/migrate.ts';
import { startPostgres } from '#services/local/postgres/postgres.ts';
import { startPgBouncer } from './pgbouncer.ts';
import { isAlive } from '../processes/processes.ts';

/** Names the address of the server of a run. */
export const serverVariable = 'LONGHAUL_TEST_POSTGRES';
/** Names the port at which tests connect to it. */
export const portVariable = 'LONGHAUL_TEST_POSTGRES_PORT';

export interface TestServer {
  /** The address of the template: a database on which all migrations are applied. */
  readonly templateUrl: string;
  /** Where tests connect: the port of the server, or of the pgbouncer before it. */
  readonly port: number;
  stop(): Promise<void>;
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
  await migrateToLatest(server);
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

/** A run that was killed leaves no server, but its files. */
function removeLeftData(): void {
  for (const name of readdirSync(os.tmpdir())) {
    if (!name.startsWith(dataPrefix) || isAlive(Number(name.slice(dataPrefix.length)))) continue;
    rmSync(path.join(os.tmpdir(), name), { recursive: true, force: true });
  }
}
