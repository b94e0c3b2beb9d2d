/**
 * `npm run migrate`: migrates the configured database to the newest schema.
 *
 *   DATABASE_CREATE=true          creates the database first if it does not exist
 *   DATABASE_GRANT_TO[_FILE]      grants this user, as which the services connect, the right to read and write rows
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
  log.info({ applied }, applied.length === 0 ? 'schema is up to date' : 'schema migrated');
} catch (error) {
  log.fatal({ err: error }, 'migration failed');
  process.exitCode = 1;
} finally {
  await secrets.close();
}
