/**
 * The whole system for a test: a real PostgreSQL, the local emulators of Google's services, the offline model, and the
 * three services. A test starts each service as a process, any number of times, and kills it.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { ClientFactory, type Client } from '@a2a-js/sdk/client';
import { Pool } from 'pg';
import {
  startCloudTasksEmulator,
  type CloudTasksEmulator,
} from '#services/local/cloud-tasks-emulator/server.ts';
import { createResources } from '#services/local/emulator/resources.ts';
import type { Responder } from '#services/local/offline-model/responder.ts';
import { startOfflineModel, type OfflineModel } from '#services/local/offline-model/server.ts';
import { withServiceRole } from '#services/local/postgres/users.ts';
import { storeOwnAgent } from '#shared/db/tasks/agents.ts';
import { startPubSubEmulator, type PubSubEmulator } from '#services/local/pubsub-emulator/emulator.ts';
import type { Cleanup } from './cleanup.ts';
import { contentEnv } from './database/contents.ts';
import { createTestDatabase, openTestPool } from './database/postgres.ts';
import { callJsonRpc, type JsonRpcAnswer } from './clients/json-rpc.ts';
import { freePort } from './network/ports.ts';
import { runNode, type RunningProcess } from './processes/processes.ts';
import { waitFor } from './wait-for.ts';
import type { AnyJson } from './clients/any-json.ts';

export type ServiceKind = 'api' | 'worker' | 'dispatcher';

export interface RunningService {
  readonly running: RunningProcess;
  readonly url: string;
  /** Sends a signal (default: SIGKILL) and resolves when the process has exited. */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

export interface Stack {
  readonly databaseUrl: string;
  readonly pool: Pool;
  readonly model: OfflineModel;
  readonly cloudTasks: CloudTasksEmulator;
  readonly apiUrl: string;
  readonly env: Record<string, string>;
  /** Starts the process of a service. */
  launch(kind: ServiceKind, env?: Record<string, string>): Promise<RunningProcess>;
  /** Starts a service and resolves when it is ready. */
  start(kind: ServiceKind, env?: Record<string, string>): Promise<RunningService>;
  /** Resolves when the api accepts messages: a worker has stored the definition of the agent. */
  ready(): Promise<void>;
  stopPubSub(): Promise<void>;
  /** Starts Pub/Sub on the same port, with its topics but without messages. */
  startPubSub(): Promise<void>;
  /** Expires all leases of one kind of service, after its processes were killed. */
  endLeases(kind: 'worker' | 'dispatcher'): Promise<void>;
  client(): Promise<Client>;
  /** Calls the api by JSON-RPC. Retries a 503 after its `Retry-After`. */
  rpc(method: string, params: object, headers?: Record<string, string>): Promise<JsonRpcAnswer>;
  /** Sends a text message and returns its task at once. */
  submit(
    text: string,
    more?: { message?: object; configuration?: object; metadata?: object },
  ): Promise<TaskJson>;
  /** Reads a task until the condition holds. `boundMs` (default: 60 s) only ends a test that hangs. */
  until(taskId: string, condition: (task: TaskJson) => boolean, boundMs?: number): Promise<TaskJson>;
}

export interface TaskJson {
  id: string;
  contextId: string;
  status: { state: string; message?: AnyJson };
  artifacts?: { artifactId: string; parts: { text?: string }[] }[];
  history?: { messageId: string; parts: { text?: string }[] }[];
  metadata?: Record<string, unknown>;
}

/**
 * Starts everything except the services. All of it ends with the test.
 *
 * @param extra environment variables of the services. With a `DATABASE_URL`, that database is used, and left as it is
 * @param responder replaces the responder of the offline model
 */
export async function startStack(
  t: Cleanup,
  extra: Record<string, string> = {},
  responder?: Responder,
): Promise<Stack> {
  const [database, tasks, model, port, dispatcherPort, pubsubPort] = await Promise.all([
    extra['DATABASE_URL'] === undefined
      ? createTestDatabase()
      : { url: extra['DATABASE_URL'], close: () => Promise.resolve() },
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
    // Short, so that a test sees in seconds what takes minutes in production.
    LEASE_SECONDS: '3',
    WAKEUP_GRACE_SECONDS: '1',
    RECONCILE_SECONDS: '0.5',
    ...contentEnv,
    ...extra,
  };
  t.after(async () => {
    await pool.end();
    await Promise.all([pubsub?.close(), tasks.close(), model.close()]);
    await database.close();
  });
  await createResources(env);

  /** Each service has its own rights, as in production. A pooler shares sessions, which have one role. */
  function getRole(kind: ServiceKind): Record<string, string> {
    const { DATABASE_URL: url = '' } = env;
    return process.env['TEST_PGBOUNCER'] === '1' ? {} : { DATABASE_URL: withServiceRole(url, kind) };
  }

  async function storeDefinition(settings: Record<string, string>): Promise<void> {
    const { db, pool: owner } = openTestPool(database.url);
    await storeOwnAgent(db, { agentFile: settings['AGENT_FILE'], agentModule: settings['AGENT_MODULE'] });
    await owner.end();
  }

  const stack: Stack = {
    databaseUrl: database.url,
    pool,
    model,
    cloudTasks: tasks,
    apiUrl,
    env,
    launch: async (kind, more = {}) => {
      // The migration stores it in production.
      if (kind === 'api') await storeDefinition({ ...env, ...more });
      const ports: Record<ServiceKind, number> = { api: port, dispatcher: dispatcherPort, worker: 0 };
      return runNode(t, [`services/${kind}/main.ts`], {
        env: { ...env, ...getRole(kind), PORT: String(ports[kind]), ...more },
      });
    },
    start: async (kind, more) => {
      const running = await stack.launch(kind, more);
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
    ready: async () => {
      await waitFor('the api to be ready', async () => (await fetch(`${apiUrl}/health/ready`)).ok);
    },
    stopPubSub: async () => {
      await pubsub?.close();
      pubsub = undefined;
    },
    startPubSub: async () => {
      pubsub = await startPubSubEmulator({ port: pubsubPort });
      await createResources(env);
    },
    endLeases: async (kind) => {
      await pool.query(
        kind === 'worker'
          ? `with extended as (delete from extended_leases), beats as (delete from worker_heartbeats)
             update gates set lease_until = now() - interval '1 second', wakeup_at = least(wakeup_at, now())
             where lease_until is not null`
          : `update deliveries set lease_until = now() - interval '1 second', wakeup_at = least(wakeup_at, now())
             where lease_until is not null`,
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
    until: (taskId, condition, boundMs = 60_000) =>
      waitFor(
        `task ${taskId}`,
        async () => {
          const { result, error } = await stack.rpc('GetTask', { id: taskId });
          if (error !== undefined) throw new Error(error.message);
          return condition(result) ? (result as TaskJson) : undefined;
        },
        { boundMs },
      ),
  };
  return stack;
}

export const isCompleted = (task: TaskJson): boolean => task.status.state === 'TASK_STATE_COMPLETED';
