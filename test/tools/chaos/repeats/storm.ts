/**
 * Every fault in turn while tasks with long steps run. Only a killed worker may repeat steps: at most the one that each
 * of its tasks was running.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createCleanup } from '../../../support/cleanup.ts';
import { SeededRandom } from '../random.ts';
import { createScript } from './run.ts';
import { endSessions, scenarios } from './scenarios.ts';
import { findRepeatedRuns, startWorld, waitUntilDone, type RepeatedRun, type World } from './world.ts';

interface Caused {
  kind: string;
  /** By `performance.now()`. */
  at: number;
  /** The tasks of a killed worker. */
  taskIds: Set<string>;
}

export interface StormOptions {
  seed: number;
  seconds: number;
  stepSeconds: number;
  tasks: number;
}

/** By kind of fault: how often it was caused, and how many steps ran again because of it. */
export type StormResult = Map<string, { caused: number; repeated: number }>;

const leaseSeconds = 6;

export async function runStorm({ seed, seconds, stepSeconds, tasks }: StormOptions): Promise<StormResult> {
  const cleanup = createCleanup();
  const random = new SeededRandom(seed, 'repeats');
  try {
    const world = await startWorld(cleanup, { stepSeconds, leaseSeconds, workers: 2 });
    // Its clock is three hours ahead.
    const clock = new URL('../../../support/processes/shifted-clock.ts', import.meta.url).pathname;
    await world.startWorker({ NODE_OPTIONS: `--import=${clock}`, CLOCK_SHIFT_SECONDS: '10800' });
    const text = createScript(Math.ceil(seconds / stepSeconds));
    for (let count = 0; count < tasks; count++) await world.stack.submit(text);
    const caused: Caused[] = [];
    const end = performance.now() + seconds * 1000;
    const kinds = Object.entries(faults);
    for (let index = 0; performance.now() < end; index++) {
      const [kind, cause] = kinds[index % kinds.length]!;
      const fault: Caused = { kind, at: performance.now(), taskIds: new Set() };
      caused.push(fault);
      const taskIds = await cause(world, random);
      if (taskIds !== undefined) fault.taskIds = new Set(taskIds);
      await sleep(1_000 * random.between(0.5, 2));
    }
    await waitUntilDone(world);
    return count(caused, findRepeatedRuns(world.tool));
  } finally {
    await cleanup.run();
  }
}

/** Each causes a fault and ends it. @returns the tasks of a killed worker */
type CauseFault = (world: World, random: SeededRandom) => Promise<string[] | void>;

const outage =
  (name: string): CauseFault =>
  async (world, random) => {
    await scenarios[name]?.cause(world, random.between(1, 8), []);
  };

const faults: Record<string, CauseFault> = {
  kill: killWorker,
  stall: stallWorker,
  'terminated backends': ({ stack }) => endSessions(stack),
  'emptied queues': async ({ stack }) => {
    await stack.stopPubSub();
    await stack.startPubSub();
  },
  'lost replies': async ({ proxy }) => proxy.silence(),
  'read-only': outage('read-only'),
  'too many clients': outage('too many clients'),
  'database away': outage('database away'),
  'database unreachable': outage('database unreachable'),
};

async function killWorker(world: World): Promise<string[]> {
  const worker = world.workers.shift();
  if (worker === undefined) return [];
  worker.service.running.child.kill('SIGSTOP');
  const { rows } = await world.stack.pool.query<{ task_id: string }>(
    'select task_id from gates where state_class = 0 and worker = $1',
    [worker.name],
  );
  await worker.service.kill();
  await world.startWorker();
  return rows.map((row) => row.task_id);
}

/** Shorter than the lease: a worker that is paused for longer loses its turns like a dead one. */
async function stallWorker(world: World, random: SeededRandom): Promise<void> {
  const worker = world.workers[random.integer(0, world.workers.length - 1)];
  worker?.service.running.child.kill('SIGSTOP');
  await sleep(1000 * random.between(0.1, 0.6) * leaseSeconds);
  worker?.service.running.child.kill('SIGCONT');
}

/** Attributes each repeated run to the kill of its worker, or else to the last fault before it. */
function count(caused: readonly Caused[], repeated: readonly RepeatedRun[]): StormResult {
  const result: StormResult = new Map(Object.keys(faults).map((kind) => [kind, { caused: 0, repeated: 0 }]));
  for (const { kind } of caused) result.get(kind)!.caused += 1;
  for (const { taskId, before, at } of repeated) {
    const kill = caused.find(
      (fault) => fault.taskIds.has(taskId) && before <= fault.at + 1_000 && at >= fault.at,
    );
    // Each kill explains one repeated step of a task.
    if (kill !== undefined) kill.taskIds.delete(taskId);
    const cause = kill ?? caused.findLast((fault) => fault.at <= at);
    if (cause !== undefined) result.get(cause.kind)!.repeated += 1;
  }
  return result;
}
