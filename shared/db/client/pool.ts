/** Connections to PostgreSQL (AlloyDB): each process has one pool, passed to everything that uses it. */
import { Kysely, PostgresDialect, sql } from 'kysely';
import { Pool, type ClientBase, type ClientConfig } from 'pg';
import { pino } from 'pino';
import { createDatabaseToken } from '../../gcp/database-token.ts';
import type { DatabaseAddress, DatabaseSsl } from '../../runtime/config/database.ts';
import { NotReadyError } from '../../runtime/health.ts';
import type { Logger } from '../../runtime/log.ts';
import { clockColumn, createClockReader, type ClockReader } from './clock-readings.ts';
import { LargeMessageClient } from './large-messages.ts';
import { createOutageLog } from './outage-log.ts';
import { shareConnections } from './owner-connections.ts';
import { createPreparingPool } from './prepared.ts';
import { RecentOutcomes } from './recent-outcomes.ts';
import { toSessionName } from '../schema/migrations/contractions.ts';
import type { Database } from '../schema/schema.ts';

export type Db = Kysely<Database>;

export interface DatabaseOptions {
  database: DatabaseAddress & {
    /** Maximum number of connections. */
    poolSize: number;
  };
  /** Time limit of one query. Default: 10 s; 0: none, and transactions have no limits either. */
  queryTimeoutMs?: number;
  /** Longest wait for a connection, in milliseconds. Default: 5 s. */
  connectTimeoutMs?: number;
  /** Shown in pg_stat_activity, as migrations/contractions.ts extends it. */
  applicationName: string;
  /** Default: nothing is logged. */
  log?: Logger;
}

/**
 * After this time a connection is replaced, so that none stays with a server that is no longer the primary, or
 * with a pooler that is being replaced.
 */
const maxConnectionSeconds = 1800;

const transactionLimits = { idle: 2_000, lock: 3_500, statement: 4_000, answer: 4_500 };

/** Opens a pool. It connects with the first query. */
export function openDatabase(options: DatabaseOptions): {
  db: Db;
  pool: Pool;
  /** When the database last failed as a whole, by `performance.now()`; -Infinity: never. */
  failedAt: () => number;
  /**
   * Resolves if the database serves statements; for readiness.
   *
   * @throws the error of the database or of the connection to it, or says how many statements have failed lately
   */
  checkReady: () => Promise<void>;
} {
  const log = options.log ?? pino({ enabled: false });
  const clock = createClockReader(log);
  const pool = new Pool({
    ...toConnectionOptions(options.database),
    Client: LargeMessageClient,
    max: options.database.poolSize,
    application_name: toSessionName(options.applicationName),
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    idleTimeoutMillis: 60_000,
    query_timeout: options.queryTimeoutMs ?? 10_000,
    maxLifetimeSeconds: maxConnectionSeconds,
    keepAlive: true,
    // oxlint-disable-next-line typescript/no-misused-promises -- pg-pool awaits it, although its type returns void
    onConnect: (client) => prepareSession(client, clock),
  });
  const outages = createOutageLog(log);
  // The pool listens to idle connections only. One that fails before its release would end the process.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', (error) => outages.failed(error)));
  const { queryTimeoutMs = 10_000 } = options;
  const answer = Math.min(queryTimeoutMs, transactionLimits.answer);
  const limits = queryTimeoutMs === 0 ? undefined : { ...transactionLimits, answer };
  const outcomes = new RecentOutcomes();
  const preparing = createPreparingPool(pool, { outages, outcomes, clock, limits });
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool: preparing }) });
  shareConnections(db, preparing, options.database.poolSize);
  return {
    db,
    pool,
    failedAt: preparing.failedAt,
    checkReady: async () => {
      await probe(db);
      const failures = outcomes.getFailures();
      if (failures !== undefined)
        throw new NotReadyError(
          'statements_failing',
          `${failures} statements have failed in the last 10 seconds`,
        );
    },
  };
}

/**
 * Reads the clock of the database. pg reads timestamps in ISO format only, and a database or role may have another default. A pooler restores this
 * setting, because the server reports its changes (ParameterStatus, PostgreSQL documentation, section 55.2.7).
 */
async function prepareSession(client: ClientBase, clock: ClockReader): Promise<void> {
  const query = `select current_setting('DateStyle') as style, ${clockColumn}`;
  const session = await clock.queryWithClock<{ style: string }>(client, query);
  if (session?.style.startsWith('ISO') !== true) await client.query('set datestyle to ISO');
}

/**
 * Asks for a row lock that no row gets: a server or a session that is read-only refuses it, and the session is then
 * replaced.
 */
async function probe(db: Db): Promise<void> {
  await sql`select 1 from gates where false for update`.execute(db);
}

/** A database's address as the options of `pg`. */
export function toConnectionOptions(address: DatabaseAddress): ClientConfig {
  const ssl = address.ssl === undefined ? {} : { ssl: toTlsOptions(address.ssl) };
  if (address.iam !== true) return { connectionString: address.url, ...ssl };
  // Passed in parts, because a connection string overrides the other options, even with an empty password.
  const url = new URL(address.url);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    database: decodeURIComponent(url.pathname.slice(1)),
    password: createDatabaseToken(),
    ...ssl,
  };
}

function toTlsOptions(ssl: DatabaseSsl): ClientConfig['ssl'] {
  if (ssl.mode === 'disable') return false;
  if (ssl.mode === 'require') return { rejectUnauthorized: false };
  return { ca: ssl.ca, rejectUnauthorized: true, checkServerIdentity: () => undefined };
}
