/** Connections to PostgreSQL (AlloyDB), built once for each process and passed to whoever reads or writes. */
import { Kysely, PostgresDialect } from 'kysely';
import { Pool } from 'pg';
import type { DatabaseAddress } from '../../runtime/config/database.ts';
import { connectionOptions } from './connection.ts';
import { preparePool } from './prepared.ts';
import type { Database } from '../schema/schema.ts';

export type Db = Kysely<Database>;

export interface DatabaseOptions extends DatabaseAddress {
  /** Connections at most. */
  poolSize: number;
  /** How long a query may take; 0: as long as it takes. */
  queryTimeoutMs?: number;
  /** Shown in pg_stat_activity. */
  applicationName: string;
  /** Told of connections that fail; the pool replaces them by itself. */
  onError: (error: Error) => void;
}

/**
 * Opens a pool. No connection is made before the first query. A query waits at most 5 s for a connection and runs at
 * most 30 s, unless it is told otherwise.
 */
export function openDatabase(options: DatabaseOptions): { db: Db; pool: Pool } {
  const pool = new Pool({
    ...connectionOptions(options),
    max: options.poolSize,
    application_name: options.applicationName,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 60_000,
    query_timeout: options.queryTimeoutMs ?? 30_000,
    keepAlive: true,
  });
  // The pool listens to idle connections only; one that fails between a query and its release would end the process.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', options.onError));
  return { db: new Kysely<Database>({ dialect: new PostgresDialect({ pool: preparePool(pool) }) }), pool };
}
