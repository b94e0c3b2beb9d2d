/**
 * Tier 1 of the local stack: PostgreSQL, the emulators and the offline model. Each part that starts sets the
 * environment variable through which the services reach it. A part is not started if its variable is already
 * set.
 */
import type { Environment } from '#shared/runtime/config/env-reader.ts';
import type { LocalOptions } from './options.ts';
import { startPostgres } from './postgres/postgres.ts';
import { localGrants } from './postgres/users.ts';
import type { Print } from './processes/log-output.ts';
import { createNodeChild, runToCompletion, type NodeChildOptions } from './processes/node-child.ts';
import type { Child, RunningChild, Supervisor } from './processes/supervisor.ts';

export interface StackContext {
  readonly options: LocalOptions;
  /** The environment of `npm start`. */
  readonly environment: Environment;
  /** Variables that the services get in addition. Each part adds its own when it starts. */
  readonly variables: Record<string, string>;
  readonly supervisor: Supervisor;
  readonly print: Print;
}

/** Cloud Tasks allows at most 500 per second. That limit would only slow down a single machine. */
const queueRate = { MAX_DISPATCHES_PER_SECOND: '10000' };

/** Returns a file of services/, which has another extension and place in the published package. */
export function resolveFile(name: string): URL {
  return new URL(import.meta.resolve(`#services/${name}`));
}

export function createEnv(
  { environment, variables }: StackContext,
  extra: Record<string, string> = {},
): NodeJS.ProcessEnv {
  return { ...environment, ...variables, ...extra };
}

/** Starts PostgreSQL and applies the migrations. */
export async function startDatabase(context: StackContext): Promise<void> {
  const { options, variables, supervisor, print } = context;
  variables['DATABASE_URL'] = options.databaseUrl ?? '';
  if (options.databaseUrl === undefined) await supervisor.start(createPostgresChild(context));
  const grants: Record<string, string> =
    options.databaseUrl === undefined ? { DATABASE_GRANT_TO: localGrants } : {};
  const migrate = { name: 'migrate', file: resolveFile('migrate/main.ts'), env: createEnv(context, grants) };
  await runToCompletion(migrate, print, supervisor.signal);
}

/** Starts the emulators of Pub/Sub and Cloud Tasks, and creates the topics, subscriptions and the queue. */
export async function startQueues(context: StackContext): Promise<void> {
  const { options, variables, supervisor } = context;
  variables['PUBSUB_EMULATOR_HOST'] = options.pubsubHost ?? '';
  variables['CLOUD_TASKS_EMULATOR_HOST'] = options.cloudTasksHost ?? '';
  const emulators: Promise<void>[] = [];
  const start = (name: string, variable: string): void => {
    const child = createInfraChild(context, {
      name,
      file: resolveFile(`local/${name}-emulator/main.ts`),
      env: createEnv(context, queueRate),
      onPort: (port) => (variables[variable] = `127.0.0.1:${port}`),
      restarted: () => provision(context), // a restarted emulator is empty
    });
    emulators.push(supervisor.start(child));
  };
  if (options.pubsubHost === undefined) start('pubsub', 'PUBSUB_EMULATOR_HOST');
  if (options.cloudTasksHost === undefined) start('cloud-tasks', 'CLOUD_TASKS_EMULATOR_HOST');
  await Promise.all(emulators);
  await provision(context);
}

/** Starts the offline model, unless the options name another one. */
export async function startModel(context: StackContext): Promise<void> {
  const { options, environment, variables, supervisor } = context;
  if (options.model === 'offline') {
    variables['GEMINI_API_KEY'] = 'offline';
    const child = createInfraChild(context, {
      name: 'offline-model',
      file: resolveFile('local/offline-model/main.ts'),
      env: createEnv(context),
      onPort: (port) => {
        const url = `http://127.0.0.1:${port}`;
        variables['GOOGLE_GEMINI_BASE_URL'] = url;
        variables['GEMINI_WEBHOOK_JWKS_URL'] = `${url}/.well-known/jwks.json`;
      },
    });
    await supervisor.start(child);
  } else if (options.model === 'custom-url') {
    variables['GOOGLE_GEMINI_BASE_URL'] = environment['GOOGLE_GEMINI_BASE_URL'] ?? '';
    variables['GEMINI_API_KEY'] = environment['GEMINI_API_KEY'] ?? environment['GOOGLE_API_KEY'] ?? 'offline';
  }
}

function createInfraChild(
  { print }: StackContext,
  options: Pick<NodeChildOptions, 'name' | 'file' | 'env' | 'onPort' | 'restarted'>,
): Child {
  return createNodeChild({ ...options, tier: 1, ready: 'line', port: 0, stopMs: 500 }, print);
}

async function provision(context: StackContext): Promise<void> {
  // Loaded here, so that the processes of the stack start first.
  const { createResources } = await import('./emulator/resources.ts');
  await createResources(createEnv(context, context.options.cloudTasksHost === undefined ? queueRate : {}));
}

function createPostgresChild({ options, variables, print }: StackContext): Child {
  let port: number | undefined;
  return {
    name: 'postgres',
    tier: 1,
    async start(): Promise<RunningChild> {
      const postgres = await startPostgres({
        dataDir: options.dataDir,
        ...(port === undefined ? {} : { port }),
        onLog: (severity, message) => {
          if (options.debug || severity !== 'DEBUG') print('postgres', { severity, message });
        },
      });
      port = postgres.port;
      variables['DATABASE_URL'] = postgres.url;
      return {
        exited: postgres.exited.then((code) => `exit code ${code}`),
        stop: () => void postgres.stop(),
        kill: () => void postgres.kill(),
      };
    },
  };
}
