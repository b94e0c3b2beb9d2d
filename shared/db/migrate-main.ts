/** `npm run migrate`: brings the database that the environment names to the newest schema. */
import { openSecretVariables } from '../gcp/secrets.ts';
import { environment, readDatabaseAddress } from '../runtime/config.ts';
import { configOrExit, secretsOrExit } from '../runtime/lifecycle.ts';
import { createLogger } from '../runtime/log.ts';
import { migrateToLatest } from './migrate.ts';

const log = createLogger('migrate', 'info');
const secrets = await secretsOrExit(() => openSecretVariables(environment));
const address = configOrExit(() => readDatabaseAddress(secrets.env));
try {
  const applied = await migrateToLatest(address);
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
