/** Costs of a service: its start, its memory, and the database work of a task. */
import { once } from 'node:events';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../../support/wait-for.ts';
import { createSendJob, createSubscriptionJob } from '../jobs.ts';
import { withRig, type MeasuredProcess } from '../rig.ts';
import { alternate, ms, polling, type BenchCase, type Figure } from '../rounds.ts';
import { runWholeTasks } from './whole.ts';

export const coldStartCase: BenchCase = () =>
  withRig(async (rig) => {
    const start = (kind: 'api' | 'worker' | 'dispatcher') => async () => {
      // Uses the agent of the definition, because the empty agent would load no modules.
      const service = await rig.service(kind, { AGENT_MODULE: '' });
      // Only a process that exits by itself writes its compile cache.
      service.child.kill('SIGTERM');
      await once(service.child, 'exit');
      return service.readyMs;
    };
    const kinds = { api: start('api'), worker: start('worker'), dispatcher: start('dispatcher') };
    await alternate(kinds, 1);
    const uncached = await alternate(kinds, 3);
    rig.stack.env['NODE_COMPILE_CACHE'] = path.join(os.tmpdir(), 'longhaul-bench-compile-cache');
    await alternate(kinds, 1);
    const cached = await alternate(kinds, 3);
    return [
      ...Object.entries(uncached).map(([kind, took]) => ms(`${kind}, start to ready`, took)),
      ...Object.entries(cached).map(([kind, took]) => ms(`${kind}, with a warm compile cache`, took, 600)),
    ];
  });

interface ProcessUsage {
  rss: number;
  held: number;
  cpuMs: number;
}

const warmUp = 100;
const tasks = 9_900;

export const memoryCase: BenchCase = () =>
  withRig(async (rig) => {
    const api = await rig.service('api');
    // All tasks belong to one owner.
    const slots = { WORKER_CONCURRENCY: String(warmUp + tasks), WORKER_OWNER_SHARE: '1' };
    const worker = await rig.service('worker', slots);
    const running = async () => {
      const { rows } = await rig.stack.pool.query<{ count: number }>(
        `select count(*)::int as count from gates left join extended_leases l using (task_id, fence)
         where greatest(gates.lease_until, l.lease_until) > now()`,
      );
      return rows[0]?.count ?? 0;
    };
    const wait = async (count: number) => {
      const before = await running();
      const job = createSendJob(api.url, 'wait', { returnImmediately: true }, { count, keepIds: true });
      const { ids } = await rig.load(job);
      await waitFor(`${count} more running tasks`, async () => (await running()) >= before + count, polling);
      return ids;
    };
    await wait(warmUp);
    const idle = await readUsage(worker);
    const ids = await wait(tasks);
    const busy = await readUsage(worker);
    const cpuOfTasks = await measureCpu(worker);
    await rig.load(createSubscriptionJob(api.url, ids.slice(0, warmUp)));
    const closed = await readUsage(api);
    const open = ids.slice(warmUp);
    await rig.load(createSubscriptionJob(api.url, open));
    const opened = await readUsage(api);
    const cpuOfStreams = await measureCpu(api);
    const kilobytes = (
      name: string,
      after: ProcessUsage,
      before: ProcessUsage,
      count: number,
      most: number,
    ): Figure[] => [
      {
        name: `${name}, held after a collection`,
        value: (after.held - before.held) / 1024 / count,
        unit: 'KB',
        target: { at: 'most', value: most },
      },
      { name: `${name}, resident`, value: (after.rss - before.rss) / 1024 / count, unit: 'KB' },
    ];
    return [
      ...kilobytes('a task in flight', busy, idle, tasks, 20),
      ...kilobytes('an open stream', opened, closed, open.length, 25),
      { name: `${tasks} tasks in flight`, value: cpuOfTasks, unit: '% of a core' },
      { name: `${open.length} open streams`, value: cpuOfStreams, unit: '% of a core' },
    ];
  });

export async function readUsage(process: MeasuredProcess): Promise<ProcessUsage> {
  await process.ask({});
  return process.ask<ProcessUsage>({});
}

async function measureCpu(process: MeasuredProcess): Promise<number> {
  const seconds = 4;
  const before = await process.ask<ProcessUsage>({});
  await sleep(seconds * 1000);
  return ((await process.ask<ProcessUsage>({})).cpuMs - before.cpuMs) / (seconds * 10);
}

/** Counted by the server: write-ahead log and writing transactions exactly, all transactions from its statistics. */
export const sqlCase: BenchCase = () =>
  withRig(async (rig) => {
    const { pool } = rig.stack;
    const services = await Promise.all([rig.service('api'), rig.service('worker')]);
    await runWholeTasks(rig, services[0].url, 500);
    const count = 4_000;
    const written = async () => {
      const { rows } = await pool.query<{ xid: string; wal: string }>(
        `select pg_current_xact_id()::text as xid, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text as wal`,
      );
      return { xid: Number(rows[0]?.xid), wal: Number(rows[0]?.wal) };
    };
    const committed = async () => {
      // An idle connection reports its transactions within seconds.
      await sleep(11_000);
      const { rows } = await pool.query<{ commits: string }>(
        'select xact_commit::text as commits from pg_stat_database where datname = current_database()',
      );
      return Number(rows[0]?.commits);
    };
    const commits = await committed();
    const before = await written();
    await runWholeTasks(rig, services[0].url, count);
    const after = await written();
    const all = (await committed()) - commits;
    await rig.load(createSendJob(services[0].url, '', {}, { connections: 1, count: 20 }));
    const alone = await written();
    await rig.load(createSendJob(services[0].url, '', {}, { connections: 1, count: 200 }));
    const aloneAfter = await written();
    return [
      { name: 'statements and transactions a task, busy', value: all / count, unit: '' },
      { name: 'writing transactions a task, busy', value: (after.xid - before.xid) / count, unit: '' },
      { name: 'WAL a task, busy', value: (after.wal - before.wal) / 1024 / count, unit: 'KB' },
      {
        name: 'writing transactions a task, one at a time',
        value: (aloneAfter.xid - alone.xid) / 200,
        unit: '',
      },
      { name: 'WAL a task, one at a time', value: (aloneAfter.wal - alone.wal) / 1024 / 200, unit: 'KB' },
    ];
  });
