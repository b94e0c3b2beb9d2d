/**
 * A zoo of receivers, good and bad, and a run of tasks whose webhooks go to all of them, through a real dispatcher. Each
 * task has three events and one receiver; the tasks begin one after the other at a steady pace.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { runNode, type Cleanup } from '../../support/processes/processes.ts';
import type { Stack } from '../../support/stack.ts';
import { connect, startTask, webhookTo } from '../../support/webhooks/webhooks.ts';
import type { Arrival } from './receivers.ts';

export interface ZooOptions {
  /** How many receivers of each kind (see zoo-holder.ts). */
  receivers: Record<string, number>;
  tasksPerReceiver: number;
  tasksPerSecond: number;
  /** Within which all webhooks of the good ones must have arrived after the last task. */
  boundMs: number;
}

export interface ZooFigures {
  /** Of the good receivers: events in all, those that arrived, and tasks whose events came out of order. */
  events: number;
  arrived: number;
  outOfOrder: number;
  /** From the commit of an event to its first arrival at a good receiver, milliseconds. */
  p50: number;
  p99: number;
  worst: number;
  /** Arrivals at each kind of receiver, and how many of them were taken. */
  kinds: Record<string, { requests: number; taken: number }>;
  states: Record<string, number>;
}

export const eventsPerTask = 3;
const kindsThatTakeAll = ['good'];

/** Expects a dispatcher to run. */
export async function runZoo(t: Cleanup, stack: Stack, options: ZooOptions): Promise<ZooFigures> {
  const holder = runNode(t, ['test/tools/zoo/receivers.ts', JSON.stringify(options.receivers)]);
  const [line] = await holder.line(/^\{"control".*/);
  const { control, urls } = JSON.parse(line) as { control: string; urls: { kind: string; url: string }[] };
  const db = connect(stack.databaseUrl);
  const scheduler = createDeliveryScheduler({
    project: stack.env['GOOGLE_CLOUD_PROJECT'] ?? '',
    location: 'us-central1',
    queue: 'longhaul-webhooks',
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
    const receiverOf = new Map<string, number>();
    const running: Promise<void>[] = [];
    const began = performance.now();
    const count = urls.length * options.tasksPerReceiver;
    for (let n = 0; n < count; n++) {
      const dueMs = began + (1000 * n) / options.tasksPerSecond - performance.now();
      if (dueMs > 1) await delay(dueMs);
      const receiver = n % urls.length;
      running.push(
        (async () => {
          const task = await startTask(db, outbox, webhookTo(urls[receiver]?.url ?? ''));
          receiverOf.set(task.taskId, receiver);
          await task.claim();
          await task.end('TASK_STATE_COMPLETED');
        })(),
      );
    }
    await Promise.all(running);
    const good = new Set(urls.flatMap(({ kind }, index) => (kindsThatTakeAll.includes(kind) ? [index] : [])));
    const events = good.size * options.tasksPerReceiver * eventsPerTask;
    const deadline = performance.now() + options.boundMs;
    const arrivedAt = async () =>
      new Set((await report()).filter(([at]) => good.has(at)).map((one) => `${one[1]} ${one[2]}`));
    while ((await arrivedAt()).size < events && performance.now() < deadline) await delay(100);
    return await figures(db, await report(), urls, good, events);
  } finally {
    await outbox.idle();
    await scheduler.close();
    await db.destroy();
    holder.child.kill('SIGKILL');
  }
}

async function figures(
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
  for (const [receiver, taskId, event, at, taken] of arrivals) {
    const of = (kinds[urls[receiver]?.kind ?? ''] ??= { requests: 0, taken: 0 });
    of.requests += 1;
    of.taken += Number(taken);
    if (!good.has(receiver)) continue;
    const key = `${taskId} ${event}`;
    if (!first.has(key)) first.set(key, at);
    byTask.set(taskId, [...(byTask.get(taskId) ?? []), event]);
  }
  const latencies = [...first].map(([key, at]) => at - (committed.get(key) ?? NaN)).sort((a, b) => a - b);
  const at = (part: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(part * latencies.length))] ?? NaN;
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
    p50: at(0.5),
    p99: at(0.99),
    worst: at(1),
    kinds,
    states,
  };
}
