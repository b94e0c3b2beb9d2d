/** Turns that wait: what they cost while they wait, and how soon they continue. */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { callJsonRpc } from '../../../support/clients/json-rpc.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { getPercentile } from '../../percentile.ts';
import { createCallJob } from '../jobs.ts';
import { withRig, type MeasuredProcess, type Rig } from '../rig.ts';
import { ms, perSecond, polling, type BenchCase, type Figure } from '../rounds.ts';
import { runWholeTasks } from './whole.ts';

const waiting = 100_000;
const endingTogether = 10_000;
const samples = 200;
const idleSeconds = 10;

const configuration = { returnImmediately: true };

export const waitsCase: BenchCase = () =>
  withRig(async (rig) => {
    const api = await rig.service('api');
    const worker = await rig.service('worker', { WORKER_CONCURRENCY: '300' });
    const callbacks = await measureCallbacks(rig, api.url);
    const sleeps = await measureSleeps(rig, api.url);
    await runWholeTasks(rig, api.url, endingTogether); // warms up
    const wholeMs = (endingTogether * 1000) / (await runWholeTasks(rig, api.url, endingTogether));

    const before = await measureLoad(rig, [api, worker]);
    const startedAt = performance.now();
    await rig.load(createJob(api.url, Date.now() + 86_400_000, waiting - endingTogether));
    await untilSuspended(rig, waiting - endingTogether);
    // Twice the time that as many of the others took, and that of the measurement below.
    const share = endingTogether / (waiting - endingTogether);
    const dueAt = Date.now() + 2 * share * (performance.now() - startedAt) + 40_000;
    await rig.load(createJob(api.url, dueAt, endingTogether));
    await untilSuspended(rig, waiting);
    const during = await measureLoad(rig, [api, worker]);
    if (Date.now() > dueAt) throw new Error('the waits have ended before all were measured');
    await sleep(dueAt - Date.now());
    await untilContinued(rig);
    const continuedMs = Date.now() - dueAt;
    const figures: Figure[] = [
      ...callbacks,
      ...sleeps,
      perSecond('transactions while idle', before.transactions),
      perSecond(`transactions while ${waiting} tasks wait`, during.transactions),
      amount('connections to PostgreSQL while idle', before.connections),
      amount(`connections to PostgreSQL while ${waiting} tasks wait`, during.connections),
      amount('sockets of api and worker while idle', before.sockets),
      amount(`sockets of api and worker while ${waiting} tasks wait`, during.sockets),
      {
        ...amount(`slots in use while ${waiting} tasks wait`, during.slots),
        target: { at: 'most', value: 0 },
      },
      ms(`${endingTogether} whole tasks`, wholeMs),
      ms(`until ${endingTogether} waits that end together have continued`, continuedMs, Math.round(wholeMs)),
    ];
    return figures.filter(({ value }) => !Number.isNaN(value));
  });

const amount = (name: string, value: number): Figure => ({ name, value, unit: '' });

function createJob(url: string, until: number, count: number) {
  const message = { messageId: '%NEW%', role: 'ROLE_USER', parts: [{ text: `sleep ${until}` }] };
  return createCallJob(url, 'SendMessage', { message, configuration }, { count });
}

/** Rarely: the query reads all gates. */
async function untilSuspended(rig: Rig, count: number): Promise<void> {
  await waitFor(
    `${count} waiting tasks`,
    async () => {
      const { rows } = await rig.stack.pool.query<{ open: string; busy: string }>(
        `select count(*) filter (where run_at > now() and lease_until is null) as open,
          count(*) filter (where run_at <= now()) as busy from gates where state_class = 0`,
      );
      return rows[0]?.open === String(count) && rows[0].busy === '0';
    },
    { everyMs: 1_000, boundMs: 1_200_000 },
  );
}

/** The other waits are due in a day. */
async function untilContinued(rig: Rig): Promise<void> {
  await waitFor(
    'the end of the waits that end together',
    async () => {
      const { rows } = await rig.stack.pool.query(
        `select from gates where state_class = 0 and wakeup_at < now() + interval '1 hour' limit 1`,
      );
      return rows.length === 0;
    },
    { ...polling, boundMs: 600_000 },
  );
}

interface Load {
  /** A second. Nearly all statements are transactions of their own. */
  transactions: number;
  connections: number;
  sockets: number;
  slots: number;
}

async function measureLoad({ stack: { pool } }: Rig, processes: readonly MeasuredProcess[]): Promise<Load> {
  const read = async () => {
    // Backends report their counts with a delay.
    await sleep(1_500);
    const { rows } = await pool.query<Record<'count' | 'connections' | 'slots', string>>(
      `select xact_commit + xact_rollback as count,
         (select count(*) from pg_stat_activity a where a.datname = d.datname) as connections,
         (select count(*) from gates where state_class = 0 and lease_until > now()) as slots
       from pg_stat_database d where datname = current_database()`,
    );
    return { ...rows[0], at: performance.now() };
  };
  const [first, last] = [await read(), await sleep(idleSeconds * 1000).then(read)];
  const seconds = (last.at - first.at) / 1000;
  return {
    transactions: (Number(last.count) - Number(first.count)) / seconds,
    connections: Number(last.connections),
    sockets: processes.reduce((sum, { child }) => sum + countSockets(child.pid), 0),
    slots: Number(last.slots),
  };
}

/** Linux only. */
function countSockets(pid: number | undefined): number {
  const folder = `/proc/${pid}/fd`;
  if (!existsSync(folder)) return Number.NaN;
  return readdirSync(folder).filter((fd) => isSocket(path.join(folder, fd))).length;
}

function isSocket(file: string): boolean {
  try {
    return readlinkSync(file).startsWith('socket:');
  } catch {
    return false; // closed meanwhile
  }
}

/** From the POST to the agent's next line, one task at a time. */
async function measureCallbacks(rig: Rig, url: string): Promise<Figure[]> {
  const times: number[] = [];
  for (let sample = 0; sample < samples; sample++) {
    const id = await submit(url, 'call');
    const { rows } = await waitFor(
      'a callback',
      async () => {
        const found = await rig.stack.pool.query<{ token: string }>(
          `select s.token from steps s join gates g on g.task_id = s.task_id
           where s.task_id = $1 and s.token is not null and g.run_at > now() and g.lease_until is null`,
          [id],
        );
        return found.rows.length > 0 && found;
      },
      polling,
    );
    const postedAt = performance.timeOrigin + performance.now();
    const headers = { 'content-type': 'application/json' };
    await fetch(`${url}/callbacks/${rows[0]?.token}`, { method: 'POST', body: '1', headers });
    times.push((await readEnd(rig, id)) - postedAt);
  }
  return [
    ms("answer of a callback to the agent's next line, p50", getSample(times, 0.5), 15),
    ms("answer of a callback to the agent's next line, p99", getSample(times, 0.99), 60),
  ];
}

async function measureSleeps(rig: Rig, url: string): Promise<Figure[]> {
  // So late that the turns are suspended: a wait of less than a second stays in its worker.
  const from = Date.now() + 5_000;
  const tasks = await Promise.all(
    Array.from({ length: samples }, async (_, index) => {
      const until = from + index * 60;
      return { until, id: await submit(url, `sleep ${until}`) };
    }),
  );
  await sleep(Math.max(0, from + samples * 60 - Date.now()));
  const late: number[] = [];
  for (const { until, id } of tasks) late.push((await readEnd(rig, id)) - until);
  return [
    ms('a sleep ends late by, p50', getSample(late, 0.5)),
    ms('a sleep ends late by, longest', Math.max(...late), 200),
  ];
}

async function submit(url: string, text: string): Promise<string> {
  const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] };
  const { result } = await callJsonRpc(url, 'SendMessage', { message, configuration }, { headers: {} });
  return (result.task as { id: string }).id;
}

const getSample = (values: readonly number[], share: number): number =>
  getPercentile(
    values.toSorted((a, b) => a - b),
    share,
  ) ?? Number.NaN;

/** Waits for the end of a task, and returns the time that its agent completed it with. */
async function readEnd(rig: Rig, id: string): Promise<number> {
  const { rows } = await waitFor(
    'the end',
    async () => {
      const found = await rig.stack.pool.query<{ message: { parts: { text: string }[] } }>(
        `select status_message as message from tasks where id = $1 and state = 'TASK_STATE_COMPLETED'`,
        [id],
      );
      return found.rows.length > 0 && found;
    },
    { ...polling, everyMs: 200 },
  );
  return Number(rows[0]?.message.parts[0]?.text);
}
