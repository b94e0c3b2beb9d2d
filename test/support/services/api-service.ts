/**
 * The whole api service in this process, on a real database, without the emulators: wake-ups are stored and not
 * published. For tests that need its routes and not a worker.
 */
import { Server } from '@grpc/grpc-js';
import type { Db } from '#shared/db/client/pool.ts';
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { startApi } from '#services/api/service.ts';
import { bindServer, loopbackAddress } from '#services/local/emulator/grpc.ts';
import { withServiceRole } from '#services/local/postgres/users.ts';
import { storeOwnAgent } from '#shared/db/tasks/agents.ts';
import type { Cleanup } from '../cleanup.ts';
import { contentEnv } from '../database/contents.ts';
import { connectToTestDatabase } from '../database/postgres.ts';
import { freePort } from '../network/ports.ts';
import { createRawGrpc, createRawJsonRpc, createRawRest, type RawBinding } from '../clients/raw-bindings.ts';

export interface TestApiService {
  url: string;
  grpcTarget: string;
  bindings: RawBinding[];
  db: Db;
  databaseUrl: string;
}

/**
 * Starts a gRPC server that refuses each call at once. A client of a closed port would try again until its deadline,
 * for which the service waits when it stops.
 */
async function startRefusingServer(t: Cleanup): Promise<string> {
  const server = new Server();
  t.after(() => server.forceShutdown());
  return `${loopbackAddress}:${await bindServer(server, 0)}`;
}

/** @param env variables of the api service in addition to those that it requires */
export async function startApiService(
  t: Cleanup,
  env: Readonly<Record<string, string>> = {},
): Promise<TestApiService> {
  const { db, url: databaseUrl } = await connectToTestDatabase();
  await storeOwnAgent(db, { agentFile: env['AGENT_FILE'], agentModule: env['AGENT_MODULE'] });
  const [grpcPort, refusing] = await Promise.all([freePort(), startRefusingServer(t)]);
  const secrets = await openSecretVariables({
    DATABASE_URL: process.env['TEST_PGBOUNCER'] === '1' ? databaseUrl : withServiceRole(databaseUrl, 'api'),
    DATABASE_POOL_SIZE: '4',
    HOST: '127.0.0.1',
    PORT: '0',
    GRPC_PORT: String(grpcPort),
    DRAIN_SECONDS: '1',
    GOOGLE_CLOUD_PROJECT: 'p',
    PUBSUB_EMULATOR_HOST: refusing,
    CLOUD_TASKS_EMULATOR_HOST: refusing,
    DISPATCHER_URL: 'http://127.0.0.1:9',
    ENCRYPTION_KEYS: `k:${Buffer.alloc(32).toString('base64')}`,
    WEBHOOK_ALLOW_HOSTS: '127.0.0.1',
    ...contentEnv,
    ...env,
  });
  const service = await startApi(readApiConfig(secrets.env), secrets, createLogger('api', 'silent'));
  const url = service.address;
  const grpcTarget = `127.0.0.1:${grpcPort}`;
  const bindings = [createRawJsonRpc(url), createRawRest(url), createRawGrpc(grpcTarget)];
  t.after(async () => {
    for (const binding of bindings) binding.close();
    await service.drain();
  });
  return { url, grpcTarget, bindings, db, databaseUrl };
}
