/**
 * The whole system for a test: a real PostgreSQL, the stand-ins that the real Google clients talk to, the offline
 * model, and the three services as processes of their own, to be started, killed and multiplied at will.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { ClientFactory, type Client } from '@a2a-js/sdk/client';
import { Pool } from 'pg';
import {
  startCloudTasksEmulator,
  type CloudTasksEmulator,
} from '#services/local/cloud-tasks-emulator/server.ts';
import type { Responder } from '#services/local/offline-model/responder.ts';
import { startOfflineModel, type OfflineModel } from '#services/local/offline-model/server.ts';
import { startPubSubEmulator, type PubSubEmulator } from '#services/local/pubsub-emulator/emulator.ts';
import { callJsonRpc, type JsonRpcAnswer } from './json-rpc.ts';
import { freePort } from './ports.ts';
import { waitFor } from './wait-for.ts';
import { testDatabase } from './database/postgres.ts';
import { runNode, type Cleanup, type RunningProcess } from './processes/processes.ts';

export type ServiceKind = 'api' | 'worker' | 'dispatcher';

export interface Service {
  readonly running: RunningProcess;
  readonly url: string;
  /** Ends it as it is, and resolves when it is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

export interface Stack {
  readonly databaseUrl: string;
  readonly pool: Pool;
  readonly model: OfflineModel;
  readonly cloudTasks: CloudTasksEmulator;
  readonly apiUrl: string;
  readonly env: Record<string, string>;
  start(kind: ServiceKind, env?: Record<string, string>): Promise<Service>;
  stopPubSub(): Promise<void>;
  /** Comes back on the same port, empty, with its topics. */
  startPubSub(): Promise<void>;
  /** As if the leases that all of a kind, who have been killed, still held had run out. */
  endLeases(kind: 'worker' | 'dispatcher'): Promise<void>;
  client(): Promise<Client>;
  /** Retries a 503 after its `Retry-After`. */
  rpc(method: string, params: object, headers?: Record<string, string>): Promise<JsonRpcAnswer>;
  /** Sends a text and returns the task at once. */
  submit(
    text: string,
    more?: { message?: object; configuration?: object; metadata?: object },
  ): Promise<TaskJson>;
  /** Reads a task until it is as wanted. */
  until(taskId: string, wanted: (task: TaskJson) => boolean, boundMs?: number): Promise<TaskJson>;
}

export interface TaskJson {
  id: string;
  contextId: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- see JsonRpcAnswer
  status: { state: string; message?: any };
  artifacts?: { artifactId: string; parts: { text?: string }[] }[];
  history?: { messageId: string; parts: { text?: string }[] }[];
  metadata?: Record<string, unknown>;
}

/** Starts everything but the services. Ends with the test. `responder`: what the model decides, in place of its own. */
export async function startStack(
  t: Cleanup,
  extra: Record<string, string> = {},
  responder?: Responder,
): Promise<Stack> {
  const [database, tasks, model, port, dispatcherPort, pubsubPort] = await Promise.all([
    testDatabase(),
    startCloudTasksEmulator({ port: 0 }),
    startOfflineModel({ port: 0, ...(responder && { responder }) }),
    freePort(),
    freePort(),
    freePort(),
  ]);
  let pubsub: PubSubEmulator | undefined = await startPubSubEmulator({ port: pubsubPort });
  const pool = new Pool({ connectionString: database.url, max: 4 });
  pool.on('error', () => undefined);
  const apiUrl = `http://127.0.0.1:${port}`;
  const env: Record<string, string> = {
    DATABASE_URL: database.url,
    GOOGLE_CLOUD_PROJECT: 'longhaul-test',
    PUBSUB_EMULATOR_HOST: pubsub.host,
    CLOUD_TASKS_EMULATOR_HOST: `127.0.0.1:${tasks.port}`,
    DISPATCHER_URL: `http://127.0.0.1:${dispatcherPort}`,
    GOOGLE_GEMINI_BASE_URL: `http://127.0.0.1:${model.port}`,
    GEMINI_API_KEY: 'offline',
    PUBLIC_URL: apiUrl,
    HOST: '127.0.0.1',
    WEBHOOK_ALLOW_HOSTS: '127.0.0.1,localhost',
    ENCRYPTION_KEYS: `test:${randomBytes(32).toString('base64')}`,
    METADATA_SERVER_DETECTION: 'none',
    // Short enough that a test sees what takes minutes in production.
    LEASE_SECONDS: '3',
    WAKEUP_GRACE_SECONDS: '1',
    RECONCILE_SECONDS: '0.2',
    ...extra,
  };
  t.after(async () => {
    await pool.end();
    await Promise.all([pubsub?.close(), tasks.close(), model.close()]);
    await database.close();
  });
  await provision();

  async function provision(): Promise<void> {
    const { exited, output } = runNode(t, ['services/local/provision.ts'], { env });
    const { code } = await exited;
    if (code !== 0) throw new Error(`provisioning failed:\n${output()}`);
  }

  const stack: Stack = {
    databaseUrl: database.url,
    pool,
    model,
    cloudTasks: tasks,
    apiUrl,
    env,
    start: async (kind, more = {}) => {
      const ports: Record<ServiceKind, number> = { api: port, dispatcher: dispatcherPort, worker: 0 };
      const running = runNode(t, [`services/${kind}/main.ts`], {
        env: { ...env, PORT: String(ports[kind]), ...more },
      });
      const [, address = ''] = await running.line(/"address":"([^"]+)".*"message":"ready"/);
      return {
        running,
        url: address,
        kill: async (signal = 'SIGKILL') => {
          running.child.kill(signal);
          await running.exited;
        },
      };
    },
    stopPubSub: async () => {
      await pubsub?.close();
      pubsub = undefined;
    },
    startPubSub: async () => {
      pubsub = await startPubSubEmulator({ port: pubsubPort });
      await provision();
    },
    endLeases: async (kind) => {
      await pool.query(
        kind === 'worker'
          ? `update gates set lease_until = now() - interval '1 second', wakeup_at = least(wakeup_at, now())
             where lease_until is not null`
          : `with ended as (
               update webhook_configs set lease_until = now() - interval '1 second' where lease_until is not null
               returning task_id, id
             )
             update deliveries d set wakeup_at = least(wakeup_at, now())
             from ended where d.task_id = ended.task_id and d.config_id = ended.id`,
      );
    },
    client: () => new ClientFactory().createFromUrl(apiUrl),
    rpc: (method, params, headers = {}) => callJsonRpc(apiUrl, method, params, { headers }),
    submit: async (text, { message = {}, configuration = {}, metadata } = {}) => {
      const { result, error } = await stack.rpc('SendMessage', {
        message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...message },
        configuration: { returnImmediately: true, ...configuration },
        ...(metadata !== undefined && { metadata }),
      });
      if (error !== undefined) throw new Error(error.message);
      return result.task;
    },
    until: (taskId, wanted, boundMs = 60_000) =>
      waitFor(
        `task ${taskId}`,
        async () => {
          const { result, error } = await stack.rpc('GetTask', { id: taskId });
          if (error !== undefined) throw new Error(error.message);
          return wanted(result) ? (result as TaskJson) : undefined;
        },
        { boundMs },
      ),
  };
  return stack;
}

export const isCompleted = (task: TaskJson): boolean => task.status.state === 'TASK_STATE_COMPLETED';
