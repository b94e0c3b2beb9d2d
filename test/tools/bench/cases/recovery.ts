/**
 * Measures how long the turns of a worker are without one after SIGKILL, whether a worker that stops for a second keeps its
 * turns, and the cost of holding ten thousand of them. BENCH_KILLS is the number of workers to kill.
 */
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '#shared/db/client/pool.ts';
import { beat } from '#shared/db/turns/heartbeats.ts';
import { extendLeases, type Lease } from '#shared/db/turns/leases.ts';
import { sql } from 'kysely';
import { openTestPool } from '../../../support/database/postgres.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { watchRecovery } from '../../chaos/recovery.ts';
import { getPercentile } from '../../percentile.ts';
import { createCallJob, createSendJob } from '../jobs.ts';
import { withRig, type MeasuredProcess, type Rig } from '../rig.ts';
import { ms, polling, type BenchCase, type Figure } from '../rounds.ts';

const kills = Number(process.env['BENCH_KILLS'] ?? 20);
const turnsOfWorker = 10;
const pauses = 3;
const one = { connections: 1 };
const heldTurns = 10_000;
/** The default of LEASE_SECONDS, and the share of it after which leases are extended. */
const leaseSeconds = 60;
const extensionShare = 1 / 3;

export const recoveryCase: BenchCase = () =>
  withRig(async (rig) => {
    const api = await rig.service('api');
    let started = 0;
    const start = async () => {
      const name = `worker-${(started += 1)}`;
      return { name, service: await rig.service('worker', { WORKER_NAME: name }) };
    };
    let holder = await start();
    const gaps: number[] = [];
    let lost = 0;
    for (let kill = 0; kill < kills; kill++) {
      const wait = createSendJob(
        api.url,
        'wait',
        { returnImmediately: true },
        { ...one, count: turnsOfWorker, keepIds: true },
      );
      const { ids } = await rig.load(wait);
      await untilHeld(rig, holder.name);
      const next = await start();
      // At another moment between two heartbeats each time.
      await sleep((1_000 * kill) / kills);
      if (kill < pauses) lost += await pause(rig, holder);
      const gone = once(holder.service.child, 'exit');
      const { counted, done } = watchRecovery(rig.stack.pool, holder.name, 'SIGKILL', gone);
      await counted;
      holder.service.child.kill('SIGKILL');
      gaps.push(...(await done).map((recovery) => recovery.ms));
      await rig.load(
        createCallJob(api.url, 'CancelTask', { id: '%TASK%' }, { ...one, count: ids.length, tasks: ids }),
      );
      holder = next;
    }
    const sorted = gaps.toSorted((a, b) => a - b);
    const figures: Figure[] = [
      ms(
        'SIGKILL of a worker until its turns run again, p50',
        getPercentile(sorted, 0.5) ?? Number.NaN,
        6_000,
      ),
      ms(
        'SIGKILL of a worker until its turns run again, p99',
        getPercentile(sorted, 0.99) ?? Number.NaN,
        10_000,
      ),
      {
        name: 'turns lost by workers that stopped for a second',
        value: lost,
        unit: `of ${pauses * turnsOfWorker}`,
        target: { at: 'most', value: 0 },
      },
    ];
    holder.service.child.kill('SIGKILL');
    return [...figures, ...(await measureRenewal(rig))];
  });

async function untilHeld(rig: Rig, worker: string): Promise<void> {
  await waitFor(
    `${worker} to hold all turns`,
    async () => {
      const { rows } = await rig.stack.pool.query<{ count: number }>(
        'select count(*)::int as count from gates where state_class = 0 and worker = $1',
        [worker],
      );
      return rows[0]?.count === turnsOfWorker;
    },
    polling,
  );
}

/** @returns how many turns the worker has lost */
async function pause(
  rig: Rig,
  { name, service }: { name: string; service: MeasuredProcess },
): Promise<number> {
  service.child.kill('SIGSTOP');
  await sleep(1_000);
  service.child.kill('SIGCONT');
  // Longer than it takes to notice a dead worker.
  await sleep(8_000);
  const { rows } = await rig.stack.pool.query<{ count: number }>(
    'select count(*)::int as count from gates where state_class = 0 and worker <> $1',
    [name],
  );
  return rows[0]?.count ?? 0;
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

/** Linux only: user and system time of a process, in ticks of 10 ms. */
function readCpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return 10 * (Number(fields[11]) + Number(fields[12]));
}
