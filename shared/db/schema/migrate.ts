/**
 * Migrates a database to the newest schema: a separate step of a deploy, never part of a service's startup.
 */
import { Migrator } from 'kysely/migration';
import { migrations } from './migrations/index.ts';
import type { DatabaseAddress } from '../../runtime/config/database.ts';
import { openDatabase, type Db } from '../client/pool.ts';

/**
 * Runs all pending migrations, under a lock that keeps other migrators waiting.
 *
 * @returns the names of those that ran
 * @throws {Error} if one fails; none of the pending migrations is applied then
 */
export async function migrateToLatest(database: DatabaseAddress): Promise<string[]> {
  const { db } = openDatabase({
    database: { ...database, poolSize: 2 },
    queryTimeoutMs: 0, // an index on a large table may take hours
    applicationName: 'longhaul-migrate',
  });
  try {
    const { error, results } = await migrator(db).migrateToLatest();
    if (error !== undefined) throw new Error('a migration failed and was rolled back', { cause: error });
    return (results ?? []).map((result) => result.migrationName);
  } finally {
    await db.destroy();
  }
}

function migrator(db: Db): Migrator {
  return new Migrator({ db, provider: { getMigrations: () => Promise.resolve(migrations) } });
}
