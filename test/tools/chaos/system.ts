/**
 * The system under test: two api processes, three workers and a dispatcher, a durable PostgreSQL, and the emulators of
 * Pub/Sub and Cloud Tasks. Each part can be killed and restarted.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'pg';
import { migrateToLatest } from '#shared/db/schema/migrate.ts';
import {
  startCloudTasksEmulator,
  type CloudTasksEmulator,
} from '#services/local/cloud-tasks-emulator/server.ts';
import { createResources } from '#services/local/emulator/resources.ts';
import { startPostgres, type Postgres } from '#services/local/postgres/postgres.ts';
import type { ChooseFate } from '#services/local/pubsub-emulator/broker/broker.ts';
import { startPubSubEmulator, type PubSubEmulator } from '#services/local/pubsub-emulator/emulator.ts';
import { createCleanup } from '../../support/cleanup.ts';
import { freePort } from '../../support/network/ports.ts';
import { runNode, type RunningProcess } from '../../support/processes/processes.ts';
import type { ServiceKind } from '../../support/stack.ts';

const leaseSeconds = 5;

/** A process of the system, over all its restarts. */
export interface Member {
  readonly kind: ServiceKind;
  readonly name: string;
  /** The name of the current process, as in its leases. */
  readonly worker: string;
  readonly running: RunningProcess | undefined;
  /** Starts the process unless it runs. Resolves when it is ready, or was stopped from outside. */
  start(): Promise<void>;
}

export interface System {
  readonly members: readonly Member[];
  readonly apiUrls: readonly string[];
  readonly pool: Pool;
  restartPostgres(downMs: number): Promise<void>;
  restartPubSub(downMs: number): Promise<void>;
  restartCloudTasks(downMs: number): Promise<void>;
  close(): Promise<void>;
}

interface SystemOptions {
  toolUrl: string;
  modelUrl: string;
  chooseFate: ChooseFate;
  /** Called with each error that a service logs. */
  onError: (line: string) => void;
  /** Called when a worker logs that it lost a turn. */
  onTurnLost: (pid: number) => void;
}

export async function startSystem(options: SystemOptions): Promise<System> {
  const cleanup = createCleanup();
  const dir = mkdtempSync(path.join(os.tmpdir(), 'longhaul-chaos-'));
  chmodSync(dir, 0o711);
  // Restarted parts use the same port.
  const [postgresPort, pubsubPort, tasksPort] = await Promise.all([freePort(), freePort(), freePort()]);
  let postgres: Postgres = await startPostgres({ dataDir: dir, port: postgresPort });
  await migrateToLatest(postgres);
  const pool = new Pool({ connectionString: postgres.url, max: 4, connectionTimeoutMillis: 2_000 });
  pool.on('error', () => undefined);
  let pubsub: PubSubEmulator = await startPubSubEmulator({
    port: pubsubPort,
    chooseFate: options.chooseFate,
  });
  let tasks: CloudTasksEmulator = await startCloudTasksEmulator({ port: tasksPort });
  const [first, second, dispatcher] = await Promise.all([freePort(), freePort(), freePort()]);
  const apiUrls = [first, second].map((port) => `http://127.0.0.1:${port}`);

  const env: Record<string, string> = {
    DATABASE_URL: postgres.url,
    GOOGLE_CLOUD_PROJECT: 'longhaul-chaos',
    PUBSUB_EMULATOR_HOST: pubsub.host,
    CLOUD_TASKS_EMULATOR_HOST: `127.0.0.1:${tasksPort}`,
    DISPATCHER_URL: `http://127.0.0.1:${dispatcher}`,
    GOOGLE_GEMINI_BASE_URL: options.modelUrl,
    GEMINI_API_KEY: 'offline',
    HOST: '127.0.0.1',
    WEBHOOK_ALLOW_HOSTS: '127.0.0.1',
    ENCRYPTION_KEYS: `chaos:${randomBytes(32).toString('base64')}`,
    METADATA_SERVER_DETECTION: 'none',
    AGENT_MODULE: path.resolve('test/tools/chaos/agent.ts'),
    CHAOS_TOOL_URL: options.toolUrl,
    LEASE_SECONDS: String(leaseSeconds),
    WAKEUP_GRACE_SECONDS: '1',
    RECONCILE_SECONDS: '0.5',
    // Kills count as attempts. No task should fail because of them.
    MAX_ATTEMPTS: '100',
    WEBHOOK_TIMEOUT_SECONDS: '1',
    WEBHOOK_LEASE_MARGIN_SECONDS: '2',
    WEBHOOK_SCHEDULE_SECONDS: ['0', ...Array.from({ length: 49 }, () => '0.5')].join(),
    DRAIN_SECONDS: '1.5',
    LOG_LEVEL: 'info',
  };
  const members = [
    createMember('api', 'api-1', first),
    createMember('api', 'api-2', second),
    ...[1, 2, 3].map((n) => createMember('worker', `worker-${n}`, 0)),
    createMember('dispatcher', 'dispatcher', dispatcher),
  ];

  let closing = false;

  function createMember(kind: ServiceKind, name: string, port: number): Member {
    let running: RunningProcess | undefined;
    let started = 0;

    /** Starts the process. One that fails to start is started again, as a platform does. */
    async function start(): Promise<void> {
      if (running !== undefined || closing) return;
      started += 1;
      const current = runNode(cleanup, [`services/${kind}/main.ts`], {
        env: {
          ...env,
          PORT: String(port),
          WORKER_NAME: `${name}.${started}`,
          PUBLIC_URL: `http://127.0.0.1:${port}`,
        },
      });
      running = current;
      current.child.stdout.on('data', (chunk: Buffer) => {
        for (const line of chunk.toString().split('\n')) {
          if (/"severity":"(ERROR|CRITICAL)"/.test(line)) options.onError(`${name}: ${line}`);
          if (line.includes('"message":"turn lost"')) options.onTurnLost(current.child.pid ?? 0);
        }
      });
      const ended = current.exited.then(({ code, signal }) => {
        if (running === current) running = undefined;
        return signal === null && code !== 0 ? code : undefined;
      });
      void ended.then((code) => {
        if (code !== undefined) options.onError(`${name} ended with code ${code}`);
      });
      const ready = await current.line(/"message":"ready"/).catch(() => undefined);
      if (ready === undefined && (await ended) !== undefined) {
        await sleep(500);
        await start();
      }
    }

    return {
      kind,
      name,
      get worker() {
        return `${name}.${started}`;
      },
      get running() {
        return running;
      },
      start,
    };
  }

  const provision = (): Promise<void> =>
    createResources(env).catch((error: unknown) => options.onError(`provisioning failed: ${String(error)}`));

  await provision();
  await Promise.all(members.map((member) => member.start()));
  return {
    members,
    apiUrls,
    pool,
    restartPostgres: async (downMs) => {
      await postgres.kill();
      await sleep(downMs);
      // Processes of the killed server may hold its shared memory for a moment.
      for (let attempt = 0; ; attempt++) {
        try {
          postgres = await startPostgres({ dataDir: dir, port: postgresPort });
          return;
        } catch (error) {
          if (attempt === 20) throw error;
          await sleep(250);
        }
      }
    },
    restartPubSub: async (downMs) => {
      await pubsub.close();
      await sleep(downMs);
      pubsub = await startPubSubEmulator({ port: pubsubPort, chooseFate: options.chooseFate });
      await provision();
    },
    restartCloudTasks: async (downMs) => {
      await tasks.close();
      await sleep(downMs);
      tasks = await startCloudTasksEmulator({ port: tasksPort });
      await provision();
    },
    close: async () => {
      closing = true;
      await cleanup.run();
      await pool.end();
      await Promise.all([pubsub.close(), tasks.close(), postgres.kill()]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
