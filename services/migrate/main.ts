/**
 * `npm run migrate`: migrates the configured database to the newest schema. Things that only the code before needs stay,
 * until `npm run admin -- contract`.
 *
 *   DATABASE_CREATE=true          creates the database first if it does not exist
 *   DATABASE_GRANT_TO[_FILE]      grants the users of the services their rights: api:USER,worker:USER,dispatcher:USER
 *   AUTH_PROXY_QUIT_URL           stops the AlloyDB Auth Proxy at the end, by a POST to this address
 *   AGENT_FILE                    stores this definition of an agent, which the api may not
 */
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { stopAuthProxy } from '#shared/runtime/auth-proxy.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import { readMigrateConfig } from '#shared/runtime/config/operator.ts';
import { configExitCode, configOrExit, printProblems, secretsOrExit } from '#shared/runtime/lifecycle.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { openDatabase } from '#shared/db/client/pool.ts';
import { storeOwnAgent } from '#shared/db/tasks/agents.ts';
import { listWaitingContractions, migrateToLatest } from '#shared/db/schema/migrate.ts';
import { ensureDatabase, grantTables } from '#shared/db/schema/provision.ts';

const log = createLogger('migrate', 'info');
const secrets = await secretsOrExit(() => openSecretVariables(environment));
const { address, create, grantTo, agent, authProxyQuitUrl } = configOrExit(() =>
  readMigrateConfig(secrets.env),
);
try {
  if (create) await ensureDatabase(address);
  const applied = await migrateToLatest(address);
  if (grantTo !== undefined) await grantTables(address, grantTo);
  await storeAgentFile();
  const waiting = await listWaitingContractions(address);
  log.info({ applied, waiting }, applied.length === 0 ? 'schema is up to date' : 'schema migrated');
} catch (error) {
  const isConfig = printProblems(error);
  if (!isConfig) log.fatal({ err: error }, 'migration failed');
  process.exitCode = isConfig ? configExitCode : 1;
} finally {
  await secrets.close();
  await stopAuthProxy(authProxyQuitUrl, (error) =>
    log.warn({ err: error }, 'the Auth Proxy was not stopped'),
  );
}

async function storeAgentFile(): Promise<void> {
  const { db } = openDatabase({ database: { ...address, poolSize: 2 }, applicationName: 'longhaul-migrate' });
  try {
    await storeOwnAgent(db, agent);
  } finally {
    await db.destroy();
  }
}
