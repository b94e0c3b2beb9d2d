/** Tier 2 of the local stack: api, workers and dispatcher. */
import path from 'node:path';
import type { DatabaseService } from '#shared/runtime/config/database.ts';
import type { LocalOptions } from '../options.ts';
import { createEnv, resolveFile, type StackContext } from '../infrastructure.ts';
import { findEphemeralPort } from '../ports.ts';
import { withServiceRole } from '../postgres/users.ts';
import { createNodeChild, type Standby } from '../processes/node-child.ts';
import { startStandby } from '../processes/standby.ts';
import type { Child } from '../processes/supervisor.ts';

export interface ServicePorts {
  /** The HTTP port of the API. */
  readonly port: number;
  readonly grpcPort: number;
  readonly dispatcherPort: number;
}

export interface RunningServices {
  /**
   * Replaces each worker by one with the current code of the agent. Turns in flight continue in the new one, after
   * their last finished step.
   *
   * @throws {StartError} if the new code does not load; the worker then keeps running
   */
  restartWorkers(): Promise<void>;
  /** Restarts the api, which reads the definition of the agent. Streams end, and can be resumed. */
  restartApi(): void;
}

export async function startServices(context: StackContext, ports: ServicePorts): Promise<RunningServices> {
  const { options, supervisor } = context;
  const api = createService(context, 'api', 'api', ports.port, { GRPC_PORT: String(ports.grpcPort) });
  const dispatcher = createService(context, 'dispatcher', 'dispatcher', ports.dispatcherPort);
  const workers = await Promise.all(
    getWorkerNames(options).map(async (name) =>
      createService(context, name, 'worker', await findEphemeralPort()),
    ),
  );
  await Promise.all([api, dispatcher, ...workers].map((child) => supervisor.start(child)));
  const standbys = options.watch ? workers.map(({ name }) => startWorkerStandby(context, name)) : [];

  return {
    async restartWorkers() {
      for (const [index, worker] of workers.entries()) {
        const port = await findEphemeralPort();
        const next = createService(context, worker.name, 'worker', port, {}, standbys[index]);
        try {
          await supervisor.replace(worker, next);
          workers[index] = next;
        } finally {
          standbys[index] = startWorkerStandby(context, worker.name);
        }
      }
    },
    restartApi: () => supervisor.restart(api),
  };
}

function getWorkerNames({ workers }: LocalOptions): string[] {
  return workers === 1 ? ['worker'] : Array.from({ length: workers }, (_, index) => `worker-${index + 1}`);
}

function startWorkerStandby(context: StackContext, name: string): Standby {
  const options = { name, file: resolveFile('worker/standby.ts'), env: createServiceEnv(context, 'worker') };
  return startStandby(options, context.print, context.supervisor.signal);
}

function createService(
  context: StackContext,
  name: string,
  service: DatabaseService,
  port: number,
  extra: Record<string, string> = {},
  standby?: Standby,
): Child {
  const file = resolveFile(`${service}/main.ts`);
  const env = { ...createServiceEnv(context, service), ...extra };
  const options = { name, tier: 2, file, env, port, ready: 'health' as const, stopMs: 3500, standby };
  return createNodeChild(options, context.print);
}

function createServiceEnv(context: StackContext, service: DatabaseService): NodeJS.ProcessEnv {
  const drain = { DRAIN_SECONDS: context.environment['DRAIN_SECONDS'] ?? '3' };
  const { DATABASE_URL: url = '' } = context.variables;
  const role: Record<string, string> =
    context.options.databaseUrl === undefined ? { DATABASE_URL: withServiceRole(url, service) } : {};
  const audit = {
    AUDIT_LOG: context.environment['AUDIT_LOG'] ?? path.join(context.options.dataDir, 'audit.log'),
  };
  return createEnv(context, { ...drain, ...role, ...audit });
}
