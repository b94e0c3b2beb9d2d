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
import { checkEncryptionKeys } from '#shared/db/webhooks/encryption-check.ts';
import type { Environment } from '#shared/runtime/config/env-reader.ts';
import { readAdminConfig, readEncryptionConfig } from '#shared/runtime/config/operator.ts';
import {
  createEnv,
  resolveFile,
  startDatabase,
  startModel,
  startQueues,
  type StackContext,
} from './infrastructure.ts';
import { loadEncryptionKey, loadSigningKeys } from './keys.ts';
import type { LocalOptions } from './options.ts';
import { assertPortFree, findEphemeralPort, findPortFrom } from './ports.ts';
import { lockData } from './postgres/data-lock.ts';
import { prepareDataDirectory } from './postgres/data-directory.ts';
import type { Print } from './processes/log-output.ts';
import { createNodeChild } from './processes/node-child.ts';
import type { Supervisor } from './processes/supervisor.ts';

interface StackPorts {
  /** The HTTP port of the API. */
  readonly port: number;
  readonly grpcPort: number;
  readonly dispatcherPort: number;
}

export interface LocalStack extends StackPorts {
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
  if (!options.infra) {
    await checkSecrets({ ...environment, ...variables });
    await startServices(context, ports);
  }
  return { ...ports, dataDir, variables };
}

/** @throws {LostKeyError} if the key of stored secrets is not there any more */
async function checkSecrets(env: Environment): Promise<void> {
  const { database } = readAdminConfig(env);
  const { encryptionKeys } = readEncryptionConfig(env);
  const { db, pool } = openDatabase({ database, applicationName: 'longhaul-start' });
  try {
    await checkEncryptionKeys(db, createEncryptor(encryptionKeys), encryptionKeys[0].id);
  } finally {
    await pool.end();
  }
}

async function choosePorts(options: LocalOptions): Promise<StackPorts> {
  const port = options.port === 0 ? await findEphemeralPort() : options.port;
  if (!options.infra) await assertPortFree(port);
  const grpcPort = options.grpcPort ?? (await findPortFrom(port + 1));
  const dispatcherPort = await findPortFrom(grpcPort + 1);
  return { port, grpcPort, dispatcherPort };
}

function createVariables(
  options: LocalOptions,
  environment: Environment,
  dataDir: string,
  { port, dispatcherPort }: StackPorts,
): Record<string, string> {
  return {
    GOOGLE_CLOUD_PROJECT: options.project,
    HOST: environment['HOST'] ?? '127.0.0.1',
    PUBLIC_URL: environment['PUBLIC_URL'] ?? `http://localhost:${port}`,
    DISPATCHER_URL: `http://127.0.0.1:${dispatcherPort}`,
    // Compiled services start in half the time.
    NODE_COMPILE_CACHE: environment['NODE_COMPILE_CACHE'] ?? path.join(dataDir, 'compile-cache'),
    // The first webhook receiver that a developer tries is on the same machine.
    WEBHOOK_ALLOW_HOSTS: environment['WEBHOOK_ALLOW_HOSTS'] ?? 'localhost,127.0.0.1,[::1]',
    ENCRYPTION_KEYS: environment['ENCRYPTION_KEYS'] ?? loadEncryptionKey(dataDir),
    ...(environment['WEBHOOK_SIGNING_KEYS_FILE'] === undefined && {
      WEBHOOK_SIGNING_KEYS: environment['WEBHOOK_SIGNING_KEYS'] ?? loadSigningKeys(dataDir),
    }),
  };
}

async function startServices(context: StackContext, ports: StackPorts): Promise<void> {
  const { options, environment, supervisor, print } = context;
  const workerPorts = await Promise.all(Array.from({ length: options.workers }, findEphemeralPort));
  const drain = { DRAIN_SECONDS: environment['DRAIN_SECONDS'] ?? '3' };
  const start = (
    name: string,
    main: string,
    port: number,
    extra: Record<string, string> = {},
  ): Promise<void> =>
    supervisor.start(
      createNodeChild(
        {
          name,
          tier: 2,
          file: resolveFile(main),
          env: createEnv(context, { ...drain, ...extra }),
          port,
          ready: 'health',
          stopMs: 3500,
        },
        print,
      ),
    );
  const grpc = { GRPC_PORT: String(ports.grpcPort) };
  const services = [
    start('api', 'api/main.ts', ports.port, grpc),
    start('dispatcher', 'dispatcher/main.ts', ports.dispatcherPort),
  ];
  for (const [index, port] of workerPorts.entries()) {
    const name = options.workers === 1 ? 'worker' : `worker-${index + 1}`;
    services.push(start(name, 'worker/main.ts', port));
  }
  await Promise.all(services);
}
