/**
 * The system under test: two front doors, three workers and a dispatcher as processes, a durable PostgreSQL, and the
 * stand-ins for Pub/Sub and Cloud Tasks. Everything can be killed, and is then started again by `heal`.
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
import { startPostgres, type Postgres } from '#services/local/postgres/postgres.ts';
import type { ChooseFate } from '#services/local/pubsub-emulator/broker/broker.ts';
import { startPubSubEmulator, type PubSubEmulator } from '#services/local/pubsub-emulator/emulator.ts';
import { freePort } from '../../support/ports.ts';
import { runNode, type RunningProcess } from '../../support/processes/processes.ts';

export type Kind = 'api' | 'worker' | 'dispatcher';

const leaseSeconds = 5;

export interface Member {
  readonly kind: Kind;
  readonly name: string;
  /** The name of the present process: leases tell it. */
  readonly worker: string;
  readonly running: RunningProcess | undefined;
  /** Starts it where it does not run; resolves when it is ready, or was ended from outside. */
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

interface Options {
  toolUrl: string;
  modelUrl: string;
  chooseFate: ChooseFate;
  /** Told of what the services log as errors. */
  onError: (line: string) => void;
  /** Told of a worker that lost a turn, for whatever reason. */
  onTurnLost: (pid: number) => void;
}

export async function startSystem(options: Options): Promise<System> {
  const closers: (() => unknown)[] = [];
  const parent = { after: (close: () => unknown) => void closers.push(close) };
  const dir = mkdtempSync(path.join(os.tmpdir(), 'longhaul-chaos-'));
  chmodSync(dir, 0o711);
  // Those of whatever is stopped and comes back on the same one.
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
    // Kills are counted as attempts: none of these tasks is to fail for them.
    MAX_ATTEMPTS: '100',
    WEBHOOK_TIMEOUT_SECONDS: '1',
    WEBHOOK_LEASE_MARGIN_SECONDS: '2',
    WEBHOOK_SCHEDULE_SECONDS: ['0', ...Array.from({ length: 49 }, () => '0.5')].join(),
    DRAIN_SECONDS: '1.5',
    LOG_LEVEL: 'info',
  };
  const members = [
    member('api', 'api-1', first),
    member('api', 'api-2', second),
    ...[1, 2, 3].map((n) => member('worker', `worker-${n}`, 0)),
    member('dispatcher', 'dispatcher', dispatcher),
  ];

  let closing = false;

  function member(kind: Kind, name: string, port: number): Member {
    let running: RunningProcess | undefined;
    let started = 0;

    /** Runs it until it is ended from outside: one that ends by itself is started again, as a platform does. */
    async function start(): Promise<void> {
      if (running !== undefined || closing) return;
      started += 1;
      const one = runNode(parent, [`services/${kind}/main.ts`], {
        env: {
          ...env,
          PORT: String(port),
          WORKER_NAME: `${name}.${started}`,
          PUBLIC_URL: `http://127.0.0.1:${port}`,
        },
      });
      running = one;
      one.child.stdout.on('data', (chunk: Buffer) => {
        for (const line of chunk.toString().split('\n')) {
          if (/"severity":"(ERROR|CRITICAL)"/.test(line)) options.onError(`${name}: ${line}`);
          if (line.includes('"message":"turn lost"')) options.onTurnLost(one.child.pid ?? 0);
        }
      });
      const ended = one.exited.then(({ code, signal }) => {
        if (running === one) running = undefined;
        return signal === null && code !== 0 ? code : undefined;
      });
      void ended.then((code) => {
        if (code !== undefined) options.onError(`${name} ended with code ${code}`);
      });
      const ready = await one.line(/"message":"ready"/).catch(() => undefined);
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

  async function provision(): Promise<void> {
    const { exited, output } = runNode(parent, ['services/local/provision.ts'], { env });
    const { code } = await exited;
    if (code !== 0) options.onError(`provisioning failed: ${output()}`);
  }

  await provision();
  await Promise.all(members.map((one) => one.start()));
  return {
    members,
    apiUrls,
    pool,
    restartPostgres: async (downMs) => {
      await postgres.kill();
      await sleep(downMs);
      // Processes of the server that was killed may hold its memory for a moment.
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
      for (const close of closers) await close();
      await pool.end();
      await Promise.all([pubsub.close(), tasks.close(), postgres.kill()]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
