/**
 * A system whose services reach the database through a proxy, with tasks of long steps. The tool that the steps call
 * logs each run, so a step that ran again is visible from outside.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cleanup } from '../../../support/cleanup.ts';
import { startScriptedStack } from '../../../support/services/scripted-stack.ts';
import { startSilentProxy, type SilentProxy } from '../../../support/network/silent-proxy.ts';
import type { RunningService, Stack } from '../../../support/stack.ts';
import { startReceiver, type Receiver } from '../../../support/webhooks/receiver.ts';

export interface Worker {
  /** The name in its leases. */
  name: string;
  service: RunningService;
}

export interface World {
  readonly stack: Stack;
  readonly proxy: SilentProxy;
  readonly tool: Receiver;
  readonly webhooks: Receiver;
  readonly workers: Worker[];
  /** The api and the dispatcher. */
  readonly others: readonly RunningService[];
  readonly leaseSeconds: number;
  startWorker(env?: Record<string, string>): Promise<void>;
  /** Starts another api behind a proxy of its own. */
  startApi(port: number): Promise<{ api: RunningService; proxy: SilentProxy }>;
}

/** A step that ran again, and when, by `performance.now()`. */
export interface RepeatedRun {
  taskId: string;
  before: number;
  at: number;
}

export async function startWorld(
  cleanup: Cleanup,
  options: { stepSeconds: number; leaseSeconds: number; workers: number; env?: Record<string, string> },
): Promise<World> {
  const { stack, tool } = await startScriptedStack(cleanup, {
    LEASE_SECONDS: String(options.leaseSeconds),
    // Kills count as attempts. No task should fail because of them.
    MAX_ATTEMPTS: '100',
    ...options.env,
  });
  tool.answerBy(async () => {
    await sleep(options.stepSeconds * 1000);
    return 200;
  });
  const url = new URL(stack.databaseUrl);
  const openProxy = async () => {
    const proxy = await startSilentProxy(cleanup, { host: url.hostname, port: Number(url.port) });
    const through = new URL(url);
    through.port = String(proxy.port);
    return { proxy, env: { DATABASE_URL: through.href } };
  };
  const { proxy, env } = await openProxy();
  let started = 0;
  const others = await Promise.all([stack.start('api', env), stack.start('dispatcher', env)]);
  const world: World = {
    stack,
    proxy,
    tool,
    webhooks: await startReceiver(cleanup),
    workers: [],
    others,
    leaseSeconds: options.leaseSeconds,
    startWorker: async (more = {}) => {
      const name = `worker-${++started}`;
      const service = await stack.start('worker', { ...env, WORKER_NAME: name, ...more });
      world.workers.push({ name, service });
    },
    startApi: async (port) => {
      const own = await openProxy();
      const api = await stack.start('api', { ...own.env, PORT: String(port) });
      return { api, proxy: own.proxy };
    },
  };
  for (let count = 0; count < options.workers; count++) await world.startWorker();
  return world;
}

/** Returns the runs of steps that had run before. */
export function findRepeatedRuns(tool: Receiver): RepeatedRun[] {
  return [...Map.groupBy(tool.received, ({ body }) => body).values()].flatMap((runs) =>
    runs.slice(1).map((run, index) => ({
      taskId: run.body.split('/')[0] ?? '',
      before: runs[index]!.at,
      at: run.at,
    })),
  );
}

/** Waits until no task is runnable and no webhook is pending. */
export async function waitUntilDone(world: World): Promise<void> {
  for (;;) {
    const { rows } = await world.stack.pool.query(
      `(select from gates where state_class = 0 limit 1)
       union all (select from deliveries where state = 'pending' limit 1)`,
    );
    if (rows.length === 0) return;
    await sleep(200);
  }
}
