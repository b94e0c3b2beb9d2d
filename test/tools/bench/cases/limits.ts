/**
 * The cost of limits: accepts and whole tasks of one caller with all limits, and without any, by turns. Both callers
 * authenticate with a key, so nothing but the limits differs. The CPU time says the same as the throughput, and does not depend on
 * what else the machine does.
 */
import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import { readCpuMs, readParent, readTreeCpuMs } from '../../../support/processes/cpu.ts';
import { createSendJob, type Job } from '../jobs.ts';
import { withRig, type MeasuredProcess, type Rig } from '../rig.ts';
import { median, perSecond, ratio, rounds, type BenchCase, type Figure } from '../rounds.ts';
import { runJobToEnd } from './whole.ts';

const key = 'key-of-bench';
const headers = { 'content-type': 'application/json', 'a2a-version': '1.0', 'x-api-key': key };
const keys = { AUTH_MODES: 'api-key', API_KEYS: `bench:${createHash('sha256').update(key).digest('hex')}` };

/** The defaults, except for those that the load would reach. */
const withLimits = {
  ...keys,
  RATE_LIMIT_PER_MINUTE: '10000000',
  RATE_LIMIT_BYTES_PER_SECOND: '10000000000',
  OWNER_MAX_OPEN_TASKS: '10000000',
};
const withoutLimits = {
  ...keys,
  RATE_LIMIT_PER_MINUTE: '0',
  RATE_LIMIT_BYTES_PER_SECOND: '0',
  WEBHOOK_REQUESTS_PER_MINUTE: '0',
  OWNER_MAX_OPEN_TASKS: '0',
  OWNER_MAX_STORED_BYTES: '0',
  OWNER_MAX_WEBHOOK_CONFIGS: '0',
  OWNER_MAX_WEBHOOK_BYTES_PER_HOUR: '0',
  OWNER_MAX_MODEL_COST_PER_DAY: '0',
  OWNER_MAX_SCHEDULES: '0',
  WORKER_OWNER_SHARE: '1',
};

const warmUpTasks = { accept: 40_000, whole: 20_000 };
const measuredTasks = { accept: 15_000, whole: 8_000 };
type Work = keyof typeof measuredTasks;

/** The services of one side. */
interface Side {
  rig: Rig;
  api: MeasuredProcess;
  worker: MeasuredProcess;
}

interface Measured {
  perSecond: number;
  /** Microseconds of CPU time for a task: of the services, and of PostgreSQL. */
  services: number;
  database: number;
}

export const limitsCase: BenchCase = () =>
  withRig((limited) => withRig((free) => compareSides(limited, free), withoutLimits), withLimits);

async function compareSides(limited: Rig, free: Rig): Promise<Figure[]> {
  const sides = { limited: await startSide(limited), free: await startSide(free) };
  const whole = await compare('whole', sides);
  await Promise.all(Object.values(sides).map(({ worker }) => worker.kill()));
  return [...(await compare('accept', sides)), ...whole];
}

async function startSide(rig: Rig): Promise<Side> {
  const api = await rig.service('api');
  return { rig, api, worker: await rig.service('worker', { WORKER_CONCURRENCY: '300' }) };
}

/** Each round measures both sides right after each other, in alternating order. */
async function compare(work: Work, sides: Record<'limited' | 'free', Side>): Promise<Figure[]> {
  for (const side of Object.values(sides)) await run(work, side, warmUpTasks[work]);
  const pairs: { limited: Measured; free: Measured }[] = [];
  for (let round = 0; round < rounds; round++) {
    const first = round % 2 === 0 ? 'limited' : 'free';
    const measured = { [first]: await measure(work, sides[first]) };
    const second = first === 'free' ? 'limited' : 'free';
    pairs.push({ ...measured, [second]: await measure(work, sides[second]) } as (typeof pairs)[number]);
  }
  const of = (side: 'limited' | 'free', part: keyof Measured) =>
    median(pairs.map((pair) => pair[side][part]));
  const name = work === 'accept' ? 'accepts' : 'whole tasks';
  const cpu = (side: 'limited' | 'free', label: string): Figure[] => [
    { name: `${name} ${label}, CPU of the services`, value: of(side, 'services'), unit: 'µs' },
    { name: `${name} ${label}, CPU of PostgreSQL`, value: of(side, 'database'), unit: 'µs' },
  ];
  const share = median(pairs.map(({ limited, free }) => limited.perSecond / free.perSecond));
  return [
    perSecond(`${name} with limits`, of('limited', 'perSecond')),
    perSecond(`${name} without`, of('free', 'perSecond')),
    ratio(`${name} with limits, of those without`, share, 0.95),
    ...cpu('limited', 'with limits'),
    ...cpu('free', 'without'),
  ];
}

async function measure(work: Work, side: Side): Promise<Measured> {
  const count = measuredTasks[work];
  const server = await findServer(side.rig.stack.pool);
  const services = work === 'whole' ? [side.api, side.worker] : [side.api];
  const readServices = () => services.reduce((total, { child }) => total + readCpuMs(child.pid ?? 0), 0);
  const [servicesBefore, databaseBefore] = [readServices(), readTreeCpuMs(server)];
  const rate = await run(work, side, count);
  return {
    perSecond: rate,
    services: (1000 * (readServices() - servicesBefore)) / count,
    database: (1000 * (readTreeCpuMs(server) - databaseBefore)) / count,
  };
}

/** @returns tasks per second */
async function run(work: Work, { rig, api }: Side, count: number): Promise<number> {
  const job: Job = createSendJob(api.url, '', { returnImmediately: true }, { headers, count });
  return work === 'whole' ? runJobToEnd(rig, job, count) : (await rig.load(job)).perSecond;
}

/** Returns the process id of the PostgreSQL server: the parent of each session. */
async function findServer(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
  const server = readParent(rows[0]?.pid ?? 0);
  if (server === undefined) throw new Error('the PostgreSQL server runs on another machine');
  return server;
}
