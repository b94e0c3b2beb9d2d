/** The whole system as separate processes: the emulators, the offline model, and the measured services. */
import { createHash, randomBytes } from 'node:crypto';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { Pool } from 'pg';
import { createResources } from '#services/local/emulator/resources.ts';
import type { Cleanup } from '../../../support/cleanup.ts';
import { createTestDatabase } from '../../../support/database/postgres.ts';
import { freePort } from '../../../support/network/ports.ts';
import { runNode } from '../../../support/processes/processes.ts';
import { createTempDir } from '../../../support/temp-dir.ts';
import { fileHost, getKey, receiverHost, hangingHost } from './owners.ts';
import { startService, type MeasuredService } from './measured/service.ts';

export interface System {
  readonly apiUrl: string;
  readonly grpcTarget: string;
  readonly pool: Pool;
  readonly services: readonly MeasuredService[];
}

/**
 * @param owners who have API keys
 * @param extra environment of the services, for example limits
 */
export async function startSystem(
  t: Cleanup,
  owners: readonly string[],
  extra: Record<string, string>,
): Promise<System> {
  const database = await createTestDatabase();
  t.after(() => database.close());
  const [pubsub, tasks, model] = await Promise.all([
    startPart(t, 'pubsub-emulator'),
    startPart(t, 'cloud-tasks-emulator', lowestPriority),
    startPart(t, 'offline-model', lowestPriority),
  ]);
  const [apiPort, grpcPort, workerPort, dispatcherPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const apiUrl = `http://127.0.0.1:${apiPort}`;
  // Intervals, leases and pools have their defaults, as in production.
  const env: Record<string, string> = {
    DATABASE_URL: database.url,
    GOOGLE_CLOUD_PROJECT: 'longhaul-load',
    PUBSUB_EMULATOR_HOST: `127.0.0.1:${pubsub}`,
    CLOUD_TASKS_EMULATOR_HOST: `127.0.0.1:${tasks}`,
    DISPATCHER_URL: `http://127.0.0.1:${dispatcherPort}`,
    GOOGLE_GEMINI_BASE_URL: `http://127.0.0.1:${model}`,
    GEMINI_API_KEY: 'offline',
    PUBLIC_URL: apiUrl,
    HOST: '127.0.0.1',
    AUTH_MODES: 'api-key',
    API_KEYS: owners
      .map((owner) => `${owner}:${createHash('sha256').update(getKey(owner)).digest('hex')}`)
      .join(),
    WEBHOOK_ALLOW_HOSTS: `127.0.0.1,${receiverHost},${hangingHost}`,
    FILE_ALLOW_HOSTS: fileHost,
    ENCRYPTION_KEYS: `load:${randomBytes(32).toString('base64')}`,
    METADATA_SERVER_DETECTION: 'none',
    AGENT_MODULE: fileURLToPath(new URL('agent.ts', import.meta.url)),
    ...extra,
  };
  await createResources(env);
  const pool = new Pool({ connectionString: database.url, max: 2 });
  pool.on('error', () => undefined);
  t.after(() => pool.end());

  const logs = createTempDir(t);
  const start = (kind: 'api' | 'worker' | 'dispatcher', port: number) =>
    startService(t, kind, { ...env, PORT: String(port), GRPC_PORT: String(grpcPort) }, path.join(logs, kind));
  const services = await Promise.all([
    start('api', apiPort),
    start('worker', workerPort),
    start('dispatcher', dispatcherPort),
  ]);
  return { apiUrl, grpcTarget: `127.0.0.1:${grpcPort}`, pool, services };
}

/** For what is Google's in a deployment, and works for the hostile owners: the measured one needs it for late webhooks only. */
const lowestPriority = os.constants.priority.PRIORITY_LOW;

/** Starts a part of the local stack. @returns its port */
async function startPart(t: Cleanup, name: string, priority?: number): Promise<number> {
  const part = runNode(t, [`services/local/${name}/main.ts`], { env: { PORT: '0', LOG_LEVEL: 'info' } });
  const { pid } = part.child;
  if (pid !== undefined && priority !== undefined) os.setPriority(pid, priority);
  const [, port] = await part.line(/"port":(\d+)/);
  return Number(port);
}
