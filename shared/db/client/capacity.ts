/**
 * Whether the connections add up, looked at once at the start: an instance too many is refused by the database long after
 * it was configured, in the middle of the night.
 */
import { sql } from 'kysely';
import type { DatabaseConfig } from '../../runtime/config/database.ts';
import { errorMessage, type Logger } from '../../runtime/log.ts';
import type { Db } from './pool.ts';

/** Resolves in any case: a database that does not answer is told of elsewhere. */
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
    const line = { available, poolSize, plannedConnections };
    if (poolSize > available) {
      log.error(
        line,
        'DATABASE_POOL_SIZE is more than the database allows: lower it, or raise max_connections',
      );
    } else if (plannedConnections > available) {
      log.error(
        line,
        'at their most the services open more connections than the database allows: lower DATABASE_POOL_SIZE or the instances, or raise max_connections',
      );
    } else {
      log.debug(line, 'the connections add up');
    }
  } catch (error) {
    log.warn({ error: errorMessage(error) }, 'the connections that the database allows could not be read');
  }
}
