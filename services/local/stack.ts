/**
 * Starts everything that runs on one machine, in this order:
 *
 *   tier 1   postgres (then migrations) · pubsub, cloud-tasks (then provisioning) · offline model      in parallel
 *   tier 2   api · worker × WORKERS · dispatcher                                                       in parallel
 *
 * The services find the infrastructure only through environment variables, so setting a variable replaces an
 * embedded part. Processes keep their ports when they restart, so clients can reconnect.
 */
import path from 'node:path';
import { createEncryptor } from '#shared/crypto/encryption.ts';
import { openDatabase } from '#shared/db/client/pool.ts';
import { checkContentKeys } from '#shared/db/contents/check.ts';
import { createKeyParts } from '#shared/db/contents/open.ts';
import { checkEncryptionKeys } from '#shared/db/webhooks/encryption-check.ts';
import { readContentsConfig } from '#shared/runtime/config/contents.ts';
import type { Environment } from '#shared/runtime/config/env-reader.ts';
import { writeLocalStack } from '#shared/runtime/config/local-stack.ts';
import { readAdminConfig, readEncryptionConfig } from '#shared/runtime/config/operator.ts';
import { startDatabase, startModel, startQueues, type StackContext } from './infrastructure.ts';
import { loadEncryptionKey, loadSigningKeys } from './keys.ts';
import type { LocalOptions } from './options.ts';
import { assertPortFree, findEphemeralPort, findPortFrom } from './ports.ts';
import { lockData } from './postgres/data-lock.ts';
import { prepareDataDirectory } from './postgres/data-directory.ts';
import type { Print } from './processes/log-output.ts';
import type { Supervisor } from './processes/supervisor.ts';
import { watchAgent } from './services/agent-watch.ts';
import { startServices, type ServicePorts } from './services/services.ts';

/** A receiver on the same machine is soon started, or started again: seconds between attempts, and then a minute. */
const localSchedule = ['0,1,2,5,10,20,30', ...Array<number>(43).fill(60)].join(',');

export interface LocalStack extends ServicePorts {
  readonly dataDir: string;
  /** The variables that the services need in addition to the environment of this process. */
  readonly variables: Readonly<Record<string, string>>;
}

/** Starts the infrastructure and, unless `options.infra` is set, the services. */
export async function startLocalStack(
  options: LocalOptions,
  environment: Environment,
  supervisor: Supervisor,
  print: Print,
): Promise<LocalStack> {
  const { dir: dataDir } = prepareDataDirectory(options.dataDir);
  if (options.databaseUrl === undefined) lockData(dataDir).release(); // fails early if another stack is running
  const ports = await choosePorts(options);
  const variables = createVariables(options, environment, dataDir, ports);
  const context: StackContext = { options, environment, variables, supervisor, print };
  await Promise.all([startDatabase(context), startQueues(context), startModel(context)]);
  if (options.databaseUrl === undefined) writeLocalStack(options.dataDir, variables);
  if (!options.infra) {
    await checkSecrets({ ...environment, ...variables });
    const services = await startServices(context, ports);
    if (options.watch) await watchAgent({ agent: options, services, print, signal: supervisor.signal });
  }
  return { ...ports, dataDir, variables };
}

/**
 * @throws {LostKeyError} if the key of stored secrets is not there any more
 * @throws {NotReadyError} if that of stored contents is not
 */
async function checkSecrets(env: Environment): Promise<void> {
  const { database } = readAdminConfig(env);
  const { encryptionKeys } = readEncryptionConfig(env);
  const { db, pool } = openDatabase({ database, applicationName: 'longhaul-start' });
  try {
    await checkEncryptionKeys(db, createEncryptor(encryptionKeys), encryptionKeys[0].id);
    await checkContentKeys(db, createKeyParts(readContentsConfig(env)));
  } finally {
    await pool.end();
  }
}

async function choosePorts(options: LocalOptions): Promise<ServicePorts> {
  const port = options.port === 0 ? await findEphemeralPort() : options.port;
  if (!options.infra) {
    await assertPortFree(options.dev ? '--port ' : 'PORT=', port);
    if (options.grpcPort !== undefined) await assertPortFree('GRPC_PORT=', options.grpcPort);
  }
  const grpcPort = options.grpcPort ?? (await findPortFrom(port + 1));
  // The port of the api is still free: no service has started.
  const dispatcherPort = await findPortFrom(grpcPort + 1, [port]);
  return { port, grpcPort, dispatcherPort };
}

function createVariables(
  options: LocalOptions,
  environment: Environment,
  dataDir: string,
  { port, dispatcherPort }: ServicePorts,
): Record<string, string> {
  return {
    GOOGLE_CLOUD_PROJECT: options.project,
    HOST: environment['HOST'] ?? '127.0.0.1',
    PUBLIC_URL: environment['PUBLIC_URL'] ?? `http://localhost:${port}`,
    CONSOLE: String(options.console),
    DISPATCHER_URL: `http://127.0.0.1:${dispatcherPort}`,
    // Compiled services start in half the time.
    NODE_COMPILE_CACHE: environment['NODE_COMPILE_CACHE'] ?? path.join(dataDir, 'compile-cache'),
    // The first webhook receiver that a developer tries is on the same machine.
    WEBHOOK_SCHEDULE_SECONDS: environment['WEBHOOK_SCHEDULE_SECONDS'] ?? localSchedule,
    WEBHOOK_ALLOW_HOSTS: environment['WEBHOOK_ALLOW_HOSTS'] ?? 'localhost,127.0.0.1,[::1]',
    ENCRYPTION_KEYS: environment['ENCRYPTION_KEYS'] ?? loadEncryptionKey(dataDir),
    ...(environment['WEBHOOK_SIGNING_KEYS_FILE'] === undefined && {
      WEBHOOK_SIGNING_KEYS: environment['WEBHOOK_SIGNING_KEYS'] ?? loadSigningKeys(dataDir),
    }),
  };
}
