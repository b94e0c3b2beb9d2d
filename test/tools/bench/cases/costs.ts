/** What a service costs before and while it works: its start, its memory, and what a task costs the database. */
import { once } from 'node:events';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sends, subscriptions } from '../jobs.ts';
import { withRig, type Process } from '../rig.ts';
import { alternate, ms, until, type Case, type Figure } from '../rounds.ts';
import { wholeTasks } from './whole.ts';

export const coldStart: Case = () =>
  withRig(async (rig) => {
    const start = (kind: 'api' | 'worker' | 'dispatcher') => async () => {
      // The agent of the definition: the one that does nothing would load nothing.
      const service = await rig.service(kind, { AGENT_MODULE: '' });
      // What it compiled is written to the cache by a process that ends by itself.
      service.child.kill('SIGTERM');
      await once(service.child, 'exit');
      return service.readyMs;
    };
    const kinds = { api: start('api'), worker: start('worker'), dispatcher: start('dispatcher') };
    await alternate(kinds, 1);
    const seen = await alternate(kinds, 3);
    rig.stack.env['NODE_COMPILE_CACHE'] = path.join(os.tmpdir(), 'longhaul-bench-compile-cache');
    await alternate(kinds, 1);
    const cached = await alternate(kinds, 3);
    return [
      ...Object.entries(seen).map(([kind, took]) => ms(`${kind}, start to ready`, took)),
      ...Object.entries(cached).map(([kind, took]) => ms(`${kind}, with a warm compile cache`, took, 600)),
    ];
  });

interface Usage {
  rss: number;
  held: number;
  cpuMs: number;
}

const warmUp = 100;
const tasks = 9_900;

export const memory: Case = () =>
  withRig(async (rig) => {
    const api = await rig.service('api');
    const worker = await rig.service('worker', { WORKER_CONCURRENCY: String(warmUp + tasks) });
    const running = async () => {
      const { rows } = await rig.stack.pool.query<{ count: number }>(
        'select count(*)::int as count from gates where lease_until > now()',
      );
      return rows[0]?.count ?? 0;
    };
    const wait = async (count: number) => {
      const before = await running();
      const job = sends(api.url, 'wait', { returnImmediately: true }, { count, keepIds: true });
      const { ids } = await rig.load(job);
      await until(async () => (await running()) >= before + count);
      return ids;
    };
    await wait(warmUp);
    const idle = await usage(worker);
    const ids = await wait(tasks);
    const busy = await usage(worker);
    const cpuOfTasks = await cpu(worker);
    await rig.load(subscriptions(api.url, ids.slice(0, warmUp)));
    const closed = await usage(api);
    const open = ids.slice(warmUp);
    await rig.load(subscriptions(api.url, open));
    const opened = await usage(api);
    const cpuOfStreams = await cpu(api);
    const kilobytes = (name: string, after: Usage, before: Usage, count: number, most: number): Figure[] => [
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

async function usage(process: Process): Promise<Usage> {
  await process.ask({});
  return process.ask<Usage>({});
}

async function cpu(process: Process): Promise<number> {
  const seconds = 4;
  const before = await process.ask<Usage>({});
  await sleep(seconds * 1000);
  return ((await process.ask<Usage>({})).cpuMs - before.cpuMs) / (seconds * 10);
}

/** Counted by the server: write-ahead log and writing transactions exactly, all transactions by its statistics. */
export const sql: Case = () =>
  withRig(async (rig) => {
    const { pool } = rig.stack;
    const services = await Promise.all([rig.service('api'), rig.service('worker')]);
    await wholeTasks(rig, services[0].url, 500);
    const count = 4_000;
    const written = async () => {
      const { rows } = await pool.query<{ xid: string; wal: string }>(
        `select pg_current_xact_id()::text as xid, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text as wal`,
      );
      return { xid: Number(rows[0]?.xid), wal: Number(rows[0]?.wal) };
    };
    const committed = async () => {
      // A connection tells of its transactions within seconds of being idle.
      await sleep(11_000);
      const { rows } = await pool.query<{ commits: string }>(
        'select xact_commit::text as commits from pg_stat_database where datname = current_database()',
      );
      return Number(rows[0]?.commits);
    };
    const commits = await committed();
    const before = await written();
    await wholeTasks(rig, services[0].url, count);
    const after = await written();
    const all = (await committed()) - commits;
    await rig.load(sends(services[0].url, '', {}, { connections: 1, count: 20 }));
    const alone = await written();
    await rig.load(sends(services[0].url, '', {}, { connections: 1, count: 200 }));
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
