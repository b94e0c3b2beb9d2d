/** `npm run migrate`: brings the database of `DATABASE_URL` to the newest schema. */
import { readDatabaseUrl } from '../runtime/config.ts';
import { configOrExit } from '../runtime/lifecycle.ts';
import { createLogger } from '../runtime/log.ts';
import { migrateToLatest } from './migrate.ts';

const log = createLogger('migrate', 'info');
const url = configOrExit(() => readDatabaseUrl());
try {
  const applied = await migrateToLatest(url);
  log.info(
    { applied },
    applied.length === 0 ? 'the schema is up to date' : 'the schema was brought up to date',
  );
} catch (error) {
  log.fatal({ err: error }, 'the migration failed');
  process.exitCode = 1;
}
