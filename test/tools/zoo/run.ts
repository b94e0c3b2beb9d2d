/**
 * Sends the webhooks of many tasks to a zoo of good and bad receivers through a real dispatcher. Each task
 * has three events and one receiver. Tasks start at a steady rate.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createLogger } from '#shared/runtime/log.ts';
import type { Cleanup } from '../../support/cleanup.ts';
import { openTestPool } from '../../support/database/postgres.ts';
import { runNode } from '../../support/processes/processes.ts';
import type { Stack } from '../../support/stack.ts';
import { startTask, webhookTo } from '../../support/webhooks/webhooks.ts';
import { getPercentile } from '../percentile.ts';
import type { Arrival } from './receivers.ts';

export interface ZooOptions {
  /** The number of receivers of each kind (see receivers.ts). */
  receivers: Record<string, number>;
  tasksPerReceiver: number;
  tasksPerSecond: number;
  /** How long to wait, after the last task, for all webhooks of the good receivers. */
  boundMs: number;
}

export interface ZooFigures {
  /** Events for the good receivers. */
  events: number;
  arrived: number;
  /** Tasks whose events arrived out of order. */
  outOfOrder: number;
  /** From the commit of an event to its first arrival at a good receiver, in milliseconds. */
  p50: number;
  p99: number;
  worst: number;
  /** Requests to each kind of receiver, and how many of them it accepted. */
  kinds: Record<string, { requests: number; accepted: number }>;
  states: Record<string, number>;
}

export const eventsPerTask = 3;

/** Expects that a dispatcher is running. */
export async function runZoo(t: Cleanup, stack: Stack, options: ZooOptions): Promise<ZooFigures> {
  const process = runNode(t, ['test/tools/zoo/receivers.ts', JSON.stringify(options.receivers)]);
  const [line] = await process.line(/^\{"control".*/);
  const { control, urls } = JSON.parse(line) as { control: string; urls: { kind: string; url: string }[] };
  const { db } = openTestPool(stack.databaseUrl);
  const scheduler = createDeliveryScheduler({
    project: stack.env['GOOGLE_CLOUD_PROJECT'] ?? '',
    location: 'us-central1',
    queues: ['longhaul-webhooks'],
    dispatcherUrl: stack.env['DISPATCHER_URL'] ?? '',
    serviceAccount: undefined,
    emulatorHost: stack.env['CLOUD_TASKS_EMULATOR_HOST'],
  });
  const outbox = createOutboxPublisher({
    db,
    ...scheduler,
    publishTurns: () => Promise.resolve(),
    log: createLogger('zoo', 'warn'),
  });
  const report = async (): Promise<Arrival[]> => (await fetch(control)).json() as Promise<Arrival[]>;
  try {
    const running: Promise<void>[] = [];
    const startedAt = performance.now();
    const count = urls.length * options.tasksPerReceiver;
    for (let n = 0; n < count; n++) {
      const dueMs = startedAt + (1000 * n) / options.tasksPerSecond - performance.now();
      if (dueMs > 1) await delay(dueMs);
      const receiver = n % urls.length;
      running.push(
        (async () => {
          const task = await startTask(db, outbox, webhookTo(urls[receiver]?.url ?? ''));
          await task.claim();
          await task.end('TASK_STATE_COMPLETED');
        })(),
      );
    }
    await Promise.all(running);
    const good = new Set(urls.flatMap(({ kind }, index) => (kind === 'good' ? [index] : [])));
    const events = good.size * options.tasksPerReceiver * eventsPerTask;
    const deadline = performance.now() + options.boundMs;
    const readArrivals = async () =>
      new Set(
        (await report()).filter(([at]) => good.has(at)).map(([, taskId, event]) => `${taskId} ${event}`),
      );
    while ((await readArrivals()).size < events && performance.now() < deadline) await delay(100);
    return await readFigures(db, await report(), urls, good, events);
  } finally {
    await outbox.idle();
    await scheduler.close();
    await db.destroy();
    process.child.kill('SIGKILL');
  }
}

async function readFigures(
  db: Db,
  arrivals: Arrival[],
  urls: { kind: string }[],
  good: Set<number>,
  events: number,
): Promise<ZooFigures> {
  const committed = new Map<string, number>();
  for (const row of await db.selectFrom('events').select(['task_id', 'seq', 'created_at']).execute()) {
    committed.set(`${row.task_id} ${row.seq}`, row.created_at.getTime());
  }
  const first = new Map<string, number>();
  const byTask = new Map<string, number[]>();
  const kinds: ZooFigures['kinds'] = {};
  for (const [receiver, taskId, event, at, accepted] of arrivals) {
    const counts = (kinds[urls[receiver]?.kind ?? ''] ??= { requests: 0, accepted: 0 });
    counts.requests += 1;
    counts.accepted += Number(accepted);
    if (!good.has(receiver)) continue;
    const key = `${taskId} ${event}`;
    if (!first.has(key)) first.set(key, at);
    byTask.set(taskId, [...(byTask.get(taskId) ?? []), event]);
  }
  const latencies = [...first].map(([key, at]) => at - (committed.get(key) ?? NaN)).sort((a, b) => a - b);
  const getLatency = (share: number) => getPercentile(latencies, share) ?? NaN;
  const states: Record<string, number> = {};
  const rows = await db
    .selectFrom('deliveries')
    .select(['state', ({ fn }) => fn.countAll<string>().as('count')])
    .groupBy('state')
    .execute();
  for (const { state, count } of rows) states[state] = Number(count);
  return {
    events,
    arrived: first.size,
    outOfOrder: [...byTask.values()].filter((seen) => seen.some((event, n) => event < (seen[n - 1] ?? 0)))
      .length,
    p50: getLatency(0.5),
    p99: getLatency(0.99),
    worst: getLatency(1),
    kinds,
    states,
  };
}
