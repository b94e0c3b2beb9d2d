/**
 * Migrates a database, as separate steps of a deploy and never as part of a service's startup:
 *
 *   migrateToLatest ─▶ new code starts ─▶ old code ends ─▶ contract
 *
 * Each migration works with the code before it. A contraction drops what only that code needed.
 */
import { Migrator, type Migration } from 'kysely/migration';
import { contractions } from './migrations/contractions.ts';
import { migrations } from './migrations/index.ts';
import type { DatabaseAddress } from '../../runtime/config/database.ts';
import { openDatabase, type Db } from '../client/pool.ts';

export interface MigrationLists {
  migrations: Record<string, Migration>;
  contractions: Record<string, Migration>;
}

export const allMigrations: MigrationLists = { migrations, contractions };

/**
 * Runs all pending migrations, under a lock that keeps other migrators waiting. A new database gets the contractions too.
 *
 * @returns the names of those that ran
 * @throws {Error} if one fails; none of the pending migrations is applied then
 */
export async function migrateToLatest(
  database: DatabaseAddress,
  lists: MigrationLists = allMigrations,
): Promise<string[]> {
  return withDatabase(database, async (db) => {
    const migrator = createMigrator(db, lists.migrations);
    const isNew = (await migrator.getMigrations()).every(({ executedAt }) => executedAt === undefined);
    const applied = await run(migrator);
    return isNew ? [...applied, ...(await runContractions(db, lists))] : applied;
  });
}

/** Returns the contractions that wait until older code has ended. */
export async function listWaitingContractions(
  database: DatabaseAddress,
  lists: MigrationLists = allMigrations,
): Promise<string[]> {
  return withDatabase(database, async (db) => {
    const all = await createContractor(db, lists).getMigrations();
    return all.filter(({ executedAt }) => executedAt === undefined).map(({ name }) => name);
  });
}

/**
 * Runs all pending contractions. The caller has made sure that no older code uses the database.
 *
 * @returns the names of those that ran
 * @throws {Error} if one fails; none of the pending contractions is applied then
 */
export async function contract(
  database: DatabaseAddress,
  lists: MigrationLists = allMigrations,
): Promise<string[]> {
  return withDatabase(database, (db) => runContractions(db, lists));
}

async function runContractions(db: Db, lists: MigrationLists): Promise<string[]> {
  // Without any, their tables are not created.
  return Object.keys(lists.contractions).length === 0 ? [] : run(createContractor(db, lists));
}

async function run(migrator: Migrator): Promise<string[]> {
  const { error, results } = await migrator.migrateToLatest();
  if (error !== undefined) throw new Error('a migration failed and was rolled back', { cause: error });
  return (results ?? []).map((result) => result.migrationName);
}

function createMigrator(db: Db, list: Record<string, Migration>, names = {}): Migrator {
  return new Migrator({ db, provider: { getMigrations: () => Promise.resolve(list) }, ...names });
}

/** In tables of their own, because they run in another order than the migrations. */
function createContractor(db: Db, lists: MigrationLists): Migrator {
  return createMigrator(db, lists.contractions, {
    migrationTableName: 'kysely_contraction',
    migrationLockTableName: 'kysely_contraction_lock',
  });
}

async function withDatabase<T>(database: DatabaseAddress, use: (db: Db) => Promise<T>): Promise<T> {
  const { db } = openDatabase({
    database: { ...database, poolSize: 2 },
    queryTimeoutMs: 0, // an index on a large table may take hours
    applicationName: 'longhaul-migrate',
  });
  try {
    return await use(db);
  } finally {
    await db.destroy();
  }
}
