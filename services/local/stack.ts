/**
 * What runs on one machine, and in which order:
 *
 *   tier 1   postgres (then migrations) · pubsub · cloud-tasks (then provisioning) · offline model      all at once
 *   tier 2   api · worker × WORKERS · dispatcher                                                        all at once
 *
 * The services meet the stand-ins through the variables of their clients only, so each stand-in gives way to the real
 * thing where its variable is set. Ports stay the same over restarts, so that whoever was connected finds them again.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Environment } from '#shared/runtime/config/env-reader.ts';
import { lockData } from './postgres/data-lock.ts';
import { prepareDataDirectory } from './postgres/data-directory.ts';
import type { Print } from './processes/log-output.ts';
import { createNodeChild, runToCompletion, type NodeChildOptions } from './processes/node-child.ts';
import type { LocalOptions } from './options.ts';
import { assertPortFree, findEphemeralPort, findPortFrom } from './ports.ts';
import { startPostgres } from './postgres/postgres.ts';
import type { Child, RunningChild, Supervisor } from './processes/supervisor.ts';

export interface LocalStack {
  /** Of the front door. */
  readonly port: number;
  readonly dispatcherPort: number;
  readonly dataDir: string;
  /** What the services were given beyond the environment of this process. */
  readonly variables: Readonly<Record<string, string>>;
}

const standIn = { tier: 1, ready: 'line', port: 0, stopMs: 500 } as const;
const service = { tier: 2, ready: 'health', stopMs: 3500 } as const;
/** Cloud Tasks stops at 500; on one machine that would only hide how fast the rest is. */
const queueRate = { MAX_DISPATCHES_PER_SECOND: '10000' };
const file = (name: string): URL => new URL(name, import.meta.url);

export async function startLocalStack(
  options: LocalOptions,
  environment: Environment,
  supervisor: Supervisor,
  print: Print,
): Promise<LocalStack> {
  const place = prepareDataDirectory(options.dataDir);
  if (options.databaseUrl === undefined) lockData(place.dir).release(); // fails early where another stack runs
  const port = options.port === 0 ? await findEphemeralPort() : options.port;
  if (!options.infra) await assertPortFree(port);
  const grpcPort = await findPortFrom(port + 1);
  const dispatcherPort = await findPortFrom(grpcPort + 1);

  const variables: Record<string, string> = {
    GOOGLE_CLOUD_PROJECT: options.project,
    DISPATCHER_URL: `http://127.0.0.1:${dispatcherPort}`,
    // The services start in half the time once they are compiled.
    NODE_COMPILE_CACHE: environment['NODE_COMPILE_CACHE'] ?? path.join(place.dir, 'compile-cache'),
    // Webhook receivers on this machine are what one tries first.
    WEBHOOK_ALLOW_HOSTS: environment['WEBHOOK_ALLOW_HOSTS'] ?? 'localhost,127.0.0.1,[::1]',
    FILE_ALLOW_HOSTS: environment['FILE_ALLOW_HOSTS'] ?? 'localhost,127.0.0.1,[::1]',
    ENCRYPTION_KEYS: environment['ENCRYPTION_KEYS'] ?? encryptionKey(place.dir),
    ...(environment['WEBHOOK_SIGNING_KEYS_FILE'] === undefined && {
      WEBHOOK_SIGNING_KEYS: environment['WEBHOOK_SIGNING_KEYS'] ?? signingKeys(place.dir),
    }),
  };
  const envOf = (more: Record<string, string> = {}): NodeJS.ProcessEnv => ({
    ...environment,
    ...variables,
    ...more,
  });
  const run = (child: Child): Promise<void> => supervisor.start(child);
  const migrate = (): Promise<void> =>
    runToCompletion(
      { name: 'migrate', file: file('../migrate/main.ts'), env: envOf() },
      print,
      supervisor.signal,
    );
  const provision = (signal: AbortSignal): Promise<void> =>
    runToCompletion(
      {
        name: 'provision',
        file: file('./provision.ts'),
        env: envOf({
          METADATA_SERVER_DETECTION: 'none', // stand-ins ask for no credentials
          ...(options.cloudTasksHost === undefined ? queueRate : {}),
        }),
      },
      print,
      signal,
    );

  await Promise.all([
    (async () => {
      variables['DATABASE_URL'] = options.databaseUrl ?? '';
      if (options.databaseUrl === undefined) {
        await run(postgresChild(options, (url) => (variables['DATABASE_URL'] = url), print));
      }
      await migrate();
    })(),
    (async () => {
      variables['PUBSUB_EMULATOR_HOST'] = options.pubsubHost ?? '';
      variables['CLOUD_TASKS_EMULATOR_HOST'] = options.cloudTasksHost ?? '';
      const emulator = (name: string, main: string, variable: string): Child => {
        const onPort = (at: number): void => {
          variables[variable] = `127.0.0.1:${at}`;
        };
        const restarted = provision; // it came back empty
        return createNodeChild(
          { ...standIn, name, file: file(main), env: envOf(queueRate), onPort, restarted },
          print,
        );
      };
      const emulators: Child[] = [];
      if (options.pubsubHost === undefined) {
        emulators.push(emulator('pubsub', './pubsub-emulator/main.ts', 'PUBSUB_EMULATOR_HOST'));
      }
      if (options.cloudTasksHost === undefined) {
        emulators.push(
          emulator('cloud-tasks', './cloud-tasks-emulator/main.ts', 'CLOUD_TASKS_EMULATOR_HOST'),
        );
      }
      await Promise.all(emulators.map(run));
      await provision(supervisor.signal);
    })(),
    (async () => {
      if (options.model === 'offline') {
        const onPort = (at: number): void => {
          variables['GOOGLE_GEMINI_BASE_URL'] = `http://127.0.0.1:${at}`;
        };
        variables['GEMINI_API_KEY'] = 'offline';
        await run(
          createNodeChild(
            {
              ...standIn,
              name: 'offline-model',
              file: file('./offline-model/main.ts'),
              env: envOf(),
              onPort,
            },
            print,
          ),
        );
      } else if (options.model === 'own-address') {
        variables['GEMINI_API_KEY'] =
          environment['GEMINI_API_KEY'] ?? environment['GOOGLE_API_KEY'] ?? 'offline';
      }
    })(),
  ]);
  if (!options.infra) {
    const env = envOf({
      HOST: environment['HOST'] ?? '127.0.0.1',
      DRAIN_SECONDS: environment['DRAIN_SECONDS'] ?? '3',
      PUBLIC_URL: environment['PUBLIC_URL'] ?? `http://localhost:${port}`,
    });
    const serviceChild = (name: string, main: string, at: number, more = {}): NodeChildOptions => ({
      ...service,
      name,
      file: file(main),
      env: { ...env, ...more },
      port: at,
    });
    const services = [
      serviceChild('api', '../api/main.ts', port, {
        GRPC_PORT: environment['GRPC_PORT'] ?? String(grpcPort),
      }),
      serviceChild('dispatcher', '../dispatcher/main.ts', dispatcherPort),
    ];
    for (let n = 1; n <= options.workers; n++) {
      const name = options.workers === 1 ? 'worker' : `worker-${n}`;
      services.push(serviceChild(name, '../worker/main.ts', await findEphemeralPort()));
    }
    await Promise.all(services.map((child) => run(createNodeChild(child, print))));
  }
  return { port, dispatcherPort, dataDir: place.dir, variables };
}

function postgresChild({ dataDir, debug }: LocalOptions, onUrl: (url: string) => void, print: Print): Child {
  let port: number | undefined;
  return {
    name: 'postgres',
    tier: 1,
    async start(): Promise<RunningChild> {
      const postgres = await startPostgres({
        dataDir,
        ...(port === undefined ? {} : { port }),
        onLog: (severity, message) => {
          if (debug || severity !== 'DEBUG') print('postgres', { severity, message });
        },
      });
      port = postgres.port;
      onUrl(postgres.url);
      return {
        exited: postgres.exited.then((code) => `exit code ${code}`),
        stop: () => void postgres.stop(),
        kill: () => void postgres.kill(),
      };
    },
  };
}

/** Receivers keep the public half: the key must outlive a restart. */
function signingKeys(dir: string): string {
  const keyFile = path.join(dir, 'webhook-signing-keys.json');
  if (!existsSync(keyFile)) {
    const { privateKey } = generateKeyPairSync('ed25519');
    const key = { ...privateKey.export({ format: 'jwk' }), kid: `local-${randomBytes(6).toString('hex')}` };
    writeFileSync(keyFile, `${JSON.stringify({ keys: [key] })}\n`, { mode: 0o600 });
  }
  return readFileSync(keyFile, 'utf8').trim();
}

/** Webhook credentials are stored encrypted: the key must outlive a restart as the data do. */
function encryptionKey(dir: string): string {
  const keyFile = path.join(dir, 'encryption.key');
  if (!existsSync(keyFile))
    writeFileSync(keyFile, `local:${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  return readFileSync(keyFile, 'utf8').trim();
}
