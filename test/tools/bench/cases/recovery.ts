/**
 * Measures how long the turns of a worker are without one after SIGKILL, whether a worker that stops for a second keeps its
 * turns, and the cost of holding ten thousand of them. BENCH_KILLS is the number of workers to kill; four of them die in each
 * round, at different moments, while four others are idle.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '#shared/db/client/pool.ts';
import { beat } from '#shared/db/turns/heartbeats.ts';
import { extendLeases, type Lease } from '#shared/db/turns/leases.ts';
import { sql } from 'kysely';
import { openTestPool } from '../../../support/database/postgres.ts';
import { readCpuMs } from '../../../support/processes/cpu.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { watchRecovery } from '../../chaos/recovery.ts';
import { getPercentile } from '../../percentile.ts';
import { createCallJob, createSendJob } from '../jobs.ts';
import { withRig, type MeasuredProcess, type Rig } from '../rig.ts';
import { ms, polling, type BenchCase, type Figure } from '../rounds.ts';

const kills = Number(process.env['BENCH_KILLS'] ?? 20);
const together = 4;
const turnsOfWorker = 10;
const turns = together * turnsOfWorker;
/** Workers take exactly as many turns as they have slots, and all turns belong to one owner. */
const slots = { WORKER_CONCURRENCY: String(turnsOfWorker), WORKER_OWNER_SHARE: '1' };
const kept = together - 1;
const one = { connections: 1 };
const heldTurns = 10_000;
/** The default of LEASE_SECONDS, and the share of it after which leases are extended. */
const leaseSeconds = 60;
const extensionShare = 1 / 3;

interface Worker {
  name: string;
  service: MeasuredProcess;
}

export const recoveryCase: BenchCase = () =>
  withRig(async (rig) => {
    const api = await rig.service('api');
    let started = 0;
    const startWorkers = () =>
      Promise.all(
        Array.from({ length: together }, async (): Promise<Worker> => {
          const name = `worker-${(started += 1)}`;
          return { name, service: await rig.service('worker', { WORKER_NAME: name, ...slots }) };
        }),
      );
    let holders = await startWorkers();
    let lost: number | undefined;
    const gaps: number[] = [];
    for (let killed = 0; killed < kills; killed += together) {
      const more = { ...one, count: turns, keepIds: true };
      const { ids } = await rig.load(createSendJob(api.url, 'wait', { returnImmediately: true }, more));
      await untilHeld(rig, holders);
      const idle = await startWorkers();
      lost ??= await pause(rig, holders.slice(0, kept));
      const dying = holders.slice(0, kills - killed);
      // Each at another moment between two heartbeats.
      const getDelay = (index: number) => (1_000 * (index + killed / kills)) / together;
      const recoveries = dying.map((worker, index) => kill(rig, worker, getDelay(index)));
      gaps.push(...(await Promise.all(recoveries)).flat());
      for (const { service } of holders) service.child.kill('SIGKILL');
      const cancel = { ...one, count: ids.length, tasks: ids };
      await rig.load(createCallJob(api.url, 'CancelTask', { id: '%TASK%' }, cancel));
      holders = idle;
    }
    for (const { service } of holders) service.child.kill('SIGKILL');
    const sorted = gaps.toSorted((a, b) => a - b);
    const gap = (share: number) => getPercentile(sorted, share) ?? Number.NaN;
    return [
      ms(`SIGKILL of a worker until its turns run again, ${kills} kills, p50`, gap(0.5), 6_000),
      ms(`SIGKILL of a worker until its turns run again, ${kills} kills, p99`, gap(0.99), 10_000),
      {
        name: 'turns lost by workers that stopped for a second',
        value: lost ?? Number.NaN,
        unit: `of ${kept * turnsOfWorker}`,
        target: { at: 'most', value: 0 },
      },
      ...(await measureRenewal(rig)),
    ];
  });

/** @returns how long each turn of the worker was without one, in milliseconds */
async function kill(rig: Rig, { name, service }: Worker, afterMs: number): Promise<number[]> {
  await sleep(afterMs);
  const gone = once(service.child, 'exit');
  const { counted, done } = watchRecovery(rig.stack.pool, name, 'SIGKILL', gone);
  await counted;
  service.child.kill('SIGKILL');
  return (await done).map((recovery) => recovery.ms);
}

async function untilHeld(rig: Rig, workers: readonly Worker[]): Promise<void> {
  const held = async () => (await countHeld(rig, workers)) === turns;
  await waitFor('the workers to hold all turns', held, polling);
}

async function countHeld(rig: Rig, workers: readonly Worker[]): Promise<number> {
  const { rows } = await rig.stack.pool.query<{ count: number }>(
    'select count(*)::int as count from gates where state_class = 0 and worker = any($1)',
    [workers.map(({ name }) => name)],
  );
  return rows[0]?.count ?? 0;
}

/** @returns how many turns the workers have lost */
async function pause(rig: Rig, workers: readonly Worker[]): Promise<number> {
  const before = await countHeld(rig, workers);
  for (const { service } of workers) service.child.kill('SIGSTOP');
  await sleep(1_000);
  for (const { service } of workers) service.child.kill('SIGCONT');
  // Longer than it takes to notice a dead worker.
  await sleep(8_000);
  return before - (await countHeld(rig, workers));
}

/** The CPU time of client and server to extend the leases of one process, and to write its heartbeat. */
async function measureRenewal(rig: Rig): Promise<Figure[]> {
  const { db, pool } = openTestPool(rig.stack.databaseUrl);
  try {
    const { rows: backends } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    const pid = backends[0]?.pid ?? 0;
    const leases = await createLeases(db);
    const passes = 5;
    // The first pass inserts rows, which it does once in the life of a turn.
    await extendLeases(db, leases, leaseSeconds);
    const cpuMs = async (run: () => Promise<unknown>) => {
      const before = readCpuMs(pid) + process.cpuUsage().user / 1000;
      for (let pass = 0; pass < passes; pass++) await run();
      return (readCpuMs(pid) + process.cpuUsage().user / 1000 - before) / passes;
    };
    const extension = await cpuMs(() => extendLeases(db, leases, leaseSeconds));
    const beats = await cpuMs(async () => {
      for (let at = 0; at < 100; at++) await beat(db, 'bench');
    });
    const share = extension / (leaseSeconds * 1000 * extensionShare) + beats / 100 / 1000;
    return [
      {
        name: 'heartbeat and leases of 10,000 turns, client and PostgreSQL',
        value: 100 * share,
        unit: '% of a core',
        target: { at: 'most', value: 1 },
      },
    ];
  } finally {
    await db.destroy();
  }
}

async function createLeases(db: Db): Promise<Lease[]> {
  const { rows } = await sql<{ task_id: string; turn: number; fence: number }>`
    insert into gates (task_id, last_event, wakeup_at, fence, worker, lease_until)
    select gen_random_uuid(), 1, now() + interval '1 hour', 1, 'bench', now() + interval '1 hour'
    from generate_series(1, ${heldTurns})
    returning task_id, turn, fence`.execute(db);
  return rows.map((row) => ({ taskId: row.task_id, turn: row.turn, fence: row.fence }));
}
