/**
 * Checks at startup that the connections of all services fit into the database. Otherwise the database
 * refuses an instance long after it was configured, at peak load.
 */
import { sql } from 'kysely';
import type { DatabaseConfig } from '../../runtime/config/database.ts';
import { errorMessage, type Logger } from '../../runtime/log.ts';
import type { Db } from './pool.ts';

/** Logs the result and never rejects: readiness reports a database that does not answer. */
export async function checkCapacity(
  db: Db,
  config: Pick<DatabaseConfig, 'poolSize' | 'plannedConnections'>,
  log: Logger,
): Promise<void> {
  try {
    const { rows } = await sql<{ available: number }>`
      select (sum(setting::int) filter (where name = 'max_connections')
        - coalesce(sum(setting::int) filter (where name <> 'max_connections'), 0))::int as available
      from pg_settings where name in ('max_connections', 'superuser_reserved_connections', 'reserved_connections')
    `.execute(db);
    const available = rows[0]?.available ?? 0;
    const { poolSize, plannedConnections } = config;
    const fields = { available, poolSize, plannedConnections };
    if (poolSize > available) {
      log.error(
        fields,
        'DATABASE_POOL_SIZE exceeds the connections of the database: lower it, or raise max_connections',
      );
    } else if (plannedConnections > available) {
      log.error(
        fields,
        'fully scaled services exceed the connections of the database: lower DATABASE_POOL_SIZE or the instances, or raise max_connections',
      );
    } else {
      log.debug(fields, 'database connections suffice');
    }
  } catch (error) {
    log.warn({ error: errorMessage(error) }, 'could not read the connection limit of the database');
  }
}
