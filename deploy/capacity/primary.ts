/**
 * `npm run capacity -- primary`: where one database with its services in one region ends. Pure. The largest instance of
 * AlloyDB, and limits of Google Cloud that are not raised. docs/operate/scaling.md says what is measured, and what is assumed.
 */
import { addCosts, costs, logPerStored, statementCost } from './measured.ts';
import { estimateCapacity, type CapacityLoad } from './estimate.ts';
import { limits, targetUtilization } from './limits.ts';
import { example, typicalLoads } from './loads.ts';

/** The largest primary. The last three are assumptions. */
export const primary = {
  cpus: Math.max(...limits.databaseCpus),
  storageTebibytes: 16,
  /** Bytes of log that it writes in a second. */
  logBytes: 200_000_000,
  /** Until a commit is durable. Commits that notify wait for each other: PostgreSQL writes notifications in their order. */
  commitSeconds: 0.001,
  /** From the start of a statement to its answer: calls that arrive meanwhile share the next one. */
  statementSeconds: 0.005,
} as const;

/** Rows of one statement, and statements of one kind that a process has in flight: see the batchers of shared/db. */
const maxSet = 128;
const lanes = 2;
/** Bytes of a wake-up as Pub/Sub counts them, and what a region publishes in a second. */
const wakeupBytes = 150;
const publishedBytes = 200_000_000;
/** Webhooks whose first attempt fails, so that a retry takes a call of Cloud Tasks. */
const retryShare = 0.02;

export interface Limit {
  name: string;
  /** Whether only another database moves it. */
  isOfDatabase?: true;
  tasksPerSecond: number;
}

/** The rate at which each limit is reached, in tasks a second. */
export function findLimits(load: CapacityLoad): Limit[] {
  const { turnsPerTask, webhooksPerTask, kilobytesPerTask } = load;
  return [
    {
      name: `Cloud Run: ${limits.instances} instances of each service`,
      tasksPerSecond: search(
        (rate) => Math.max(...Object.values(countInstances(load, rate))) <= limits.instances,
      ),
    },
    {
      name: `AlloyDB: ${load.databaseConnections} connections`,
      tasksPerSecond: search((rate) => estimateAt(load, rate).connections < load.databaseConnections),
    },
    {
      name: `AlloyDB: ${primary.cpus} vCPUs, ${100 * targetUtilization}% busy`,
      isOfDatabase: true,
      tasksPerSecond: search(
        (rate) => (rate * getDatabaseCost(load, rate)) / 1_000_000 <= primary.cpus * targetUtilization,
      ),
    },
    {
      name: 'AlloyDB: commits that notify, one by one',
      isOfDatabase: true,
      tasksPerSecond: maxSet / primary.commitSeconds / countNotifyingWrites(load),
    },
    {
      name: `AlloyDB: ${primary.logBytes / 1_000_000} MB of log a second`,
      isOfDatabase: true,
      tasksPerSecond: primary.logBytes / (kilobytesPerTask * 1024 * logPerStored),
    },
    {
      name: `Pub/Sub: ${publishedBytes / 1_000_000} MB published a second`,
      tasksPerSecond: publishedBytes / (wakeupBytes * turnsPerTask),
    },
    {
      name: `Cloud Tasks: ${limits.dispatchesPerSecond} calls a second of one queue`,
      tasksPerSecond: limits.dispatchesPerSecond / (webhooksPerTask * retryShare),
    },
  ];
}

/** Microseconds of the database for a task, at a rate of tasks a second: the higher the rate, the larger the sets. */
export function getDatabaseCost(load: CapacityLoad, rate: number): number {
  const { turnsPerTask, modelCallsPerTurn, readsPerTask } = load;
  const writes = countWrites(load);
  const processes = Object.values(countInstances(load, rate)).reduce((sum, count) => sum + count, 0);
  const arriving = rate * writes * primary.statementSeconds;
  const set = Math.min(maxSet, Math.max(1, arriving / (processes * lanes)));
  const { database } = addCosts(
    { cost: costs.task, count: turnsPerTask },
    { cost: costs.step, count: turnsPerTask * modelCallsPerTurn + 2 * load.webhooksPerTask },
    { cost: costs.read, count: readsPerTask },
  );
  return database + (writes * statementCost) / set;
}

/** Accept, claim and end; a record of each model call; claim and record of each webhook. */
function countWrites({ turnsPerTask, modelCallsPerTurn, webhooksPerTask }: CapacityLoad): number {
  return 1 + turnsPerTask * (2 + modelCallsPerTurn) + 2 * webhooksPerTask;
}

/** Claims and ends have events. */
function countNotifyingWrites({ turnsPerTask }: CapacityLoad): number {
  return 2 * turnsPerTask;
}

function estimateAt(load: CapacityLoad, rate: number) {
  return estimateCapacity({ ...load, tasksPerDay: rate * 86_400, peak: 1 });
}

function countInstances(load: CapacityLoad, rate: number) {
  const { api, worker, dispatcher } = estimateAt(load, rate);
  return { api, worker, dispatcher };
}

/** The highest rate up to which a condition holds, in tasks a second. */
function search(holds: (rate: number) => boolean): number {
  let [low, high] = [0, 1_000_000];
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2;
    if (holds(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** Share of the limits of a database that is planned for one cell. */
const cellShare = 0.5;

/** Returns how many databases a load needs, each with the owners of its cell. */
export function countCells(load: CapacityLoad): number {
  const ofDatabase = findLimits(load).filter(({ isOfDatabase }) => isOfDatabase);
  const most = Math.min(...ofDatabase.map(({ tasksPerSecond }) => tasksPerSecond));
  const rate = (load.tasksPerDay / 86_400) * load.peak;
  return Math.max(1, Math.ceil(rate / (cellShare * most)));
}

/** Returns how many queues of Cloud Tasks a load needs: retries are one call each. */
export function countQueues({ tasksPerDay, peak, webhooksPerTask }: CapacityLoad): number {
  const calls = (tasksPerDay / 86_400) * peak * webhooksPerTask * retryShare;
  return Math.max(1, Math.ceil(calls / limits.dispatchesPerSecond));
}

/** Million tasks that the storage keeps. */
export function countKept({ kilobytesPerTask }: CapacityLoad): number {
  return (primary.storageTebibytes * 2 ** 30) / kilobytesPerTask / 1_000_000;
}

const emptyTasks: CapacityLoad = {
  ...example,
  turnsPerTask: 1,
  turnSeconds: 0.05,
  modelCallsPerTurn: 0,
  readsPerTask: 1,
  openStreams: 0,
  webhooksPerTask: 0,
  kilobytesPerTask: 4,
};

/** Loads by the names of their columns. */
export const primaryLoads: Readonly<Record<string, CapacityLoad>> = {
  empty: emptyTasks,
  product: typicalLoads['product']?.load ?? example,
  documents: typicalLoads['documents']?.load ?? example,
};

export function describePrimary(): string {
  const loads = Object.values(primaryLoads);
  const columns = loads.map(findLimits);
  const names = (columns[0] ?? []).map(({ name }) => name);
  const rates = (at: number): number[] => columns.map((column) => column[at]?.tasksPerSecond ?? 0);
  const first = columns.map((column) => Math.min(...column.map(({ tasksPerSecond }) => tasksPerSecond)));
  const rows: [string, string[]][] = [
    ['', Object.keys(primaryLoads)],
    ...names.map((name, at): [string, string[]] => [name, rates(at).map(format)]),
    ['first limit, tasks a second', first.map(format)],
    [
      'requests of the model a minute, at that rate',
      loads.map((load, at) => format((first[at] ?? 0) * load.turnsPerTask * load.modelCallsPerTurn * 60)),
    ],
    [`million tasks in ${primary.storageTebibytes} TiB`, loads.map((load) => format(countKept(load)))],
    [
      'days until then, at that rate',
      loads.map((load, at) => format((countKept(load) * 1_000_000) / (first[at] ?? 0) / 86_400)),
    ],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    'tasks a second at which one database, with its services in one region, reaches each limit',
    '',
    ...rows.map(([name, cells]) => `${name.padEnd(width)}${cells.map((cell) => cell.padStart(12)).join('')}`),
  ].join('\n');
}

function format(value: number): string {
  if (!Number.isFinite(value)) return 'none';
  return Number(value.toPrecision(2)).toLocaleString('en-US');
}
