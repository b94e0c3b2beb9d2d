/**
 * `npm run migrate`: brings the database that the environment names to the newest schema.
 *
 *   DATABASE_CREATE=true          makes the database first, where it does not exist
 *   DATABASE_GRANT_TO[_FILE]      a user that may then read and write rows: the services'
 */
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import { readMigrateConfig } from '#shared/runtime/config/operator.ts';
import { configOrExit, secretsOrExit } from '#shared/runtime/lifecycle.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { migrateToLatest } from '#shared/db/schema/migrate.ts';
import { ensureDatabase, grantRows } from '#shared/db/schema/provision.ts';

const log = createLogger('migrate', 'info');
const secrets = await secretsOrExit(() => openSecretVariables(environment));
const { address, create, grantTo } = configOrExit(() => readMigrateConfig(secrets.env));
try {
  if (create) await ensureDatabase(address);
  const applied = await migrateToLatest(address);
  if (grantTo !== undefined) await grantRows(address, grantTo);
  log.info(
    { applied },
    applied.length === 0 ? 'the schema is up to date' : 'the schema was brought up to date',
  );
} catch (error) {
  log.fatal({ err: error }, 'the migration failed');
  process.exitCode = 1;
} finally {
  await secrets.close();
}
