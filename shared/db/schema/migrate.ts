/** Brings a database to the newest schema: a step of its own in a deploy, never at a service's start. */
import { Migrator } from 'kysely/migration';
import { migrations } from './migrations/index.ts';
import type { DatabaseAddress } from '../../runtime/config/database.ts';
import { openDatabase, type Db } from '../client/pool.ts';

/**
 * Runs every migration that has not run yet, under a lock that holds other migrators back.
 *
 * @returns the names of those that ran
 */
export async function migrateToLatest(database: DatabaseAddress): Promise<string[]> {
  const { db } = openDatabase({
    ...database,
    poolSize: 2,
    queryTimeoutMs: 0, // an index on a large table takes what it takes
    applicationName: 'longhaul-migrate',
    onError: () => undefined,
  });
  try {
    const { error, results } = await migrator(db).migrateToLatest();
    if (error !== undefined) throw new Error('a migration failed; nothing of it was kept', { cause: error });
    return (results ?? []).map((result) => result.migrationName);
  } finally {
    await db.destroy();
  }
}

function migrator(db: Db): Migrator {
  return new Migrator({ db, provider: { getMigrations: () => Promise.resolve(migrations) } });
}
