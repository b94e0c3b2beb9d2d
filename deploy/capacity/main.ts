/**
 * `npm run capacity -- --tasks-per-day 50000 …`: estimates the capacity for a load. All flags are optional.
 * `npm run capacity -- cost`: the cost of typical loads. `npm run capacity -- scaling`: compares ways to scale the workers.
 * `npm run capacity -- primary`: where one database ends.
 */
import { parseArgs } from 'node:util';
import { describeCosts } from './cost.ts';
import { estimateCapacity, type CapacityLoad } from './estimate.ts';
import { example } from './loads.ts';
import { countCells, countQueues, describePrimary } from './primary.ts';
import { describeScaling } from './scaling.ts';

const toFlag = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const names = Object.keys(example) as (keyof CapacityLoad)[];

function readLoad(): CapacityLoad {
  const options = Object.fromEntries(names.map((name) => [toFlag(name), { type: 'string' as const }]));
  const { values } = parseArgs({ options });
  const load = { ...example };
  for (const name of names) {
    const text = values[toFlag(name)];
    if (text === undefined) continue;
    const value = Number(text);
    const atLeast = ['peak', 'workerConcurrency', 'poolSize'].includes(name) ? 1 : 0;
    if (text.trim() === '' || !Number.isFinite(value) || value < atLeast) {
      throw new Error(`--${toFlag(name)} must be a number of at least ${atLeast}, not "${text}"`);
    }
    load[name] = value;
  }
  return load;
}

function describe(load: CapacityLoad): string {
  const {
    tasksPerSecond,
    concurrentTurns,
    model,
    api,
    worker,
    dispatcher,
    connections,
    databaseCpus,
    storedGibibytes,
    webhooksPerSecond,
    costs,
    problems,
  } = estimateCapacity(load);
  const rows: [string, string][] = [
    ['tasks per second, at the peak', tasksPerSecond.toFixed(2)],
    ['concurrent turns', String(Math.ceil(concurrentTurns))],
    [
      'model, at the peak',
      `${Math.ceil(model.requestsPerMinute)} requests and ${Math.ceil(model.tokensPerMinute)} tokens per minute`,
    ],
    ['webhooks per second', webhooksPerSecond.toFixed(2)],
    ['instances', `api ${api}, workers ${worker}, dispatcher ${dispatcher}`],
    ['connections', `${connections} of ${load.databaseConnections}`],
    ['AlloyDB', `${databaseCpus} vCPUs, ${Math.ceil(storedGibibytes)} GiB after ${load.retentionDays} days`],
    ['databases, and queues of Cloud Tasks', `${countCells(load)}, ${countQueues(load)}`],
  ];
  const width = Math.max(...rows.map(([label]) => label.length), ...costs.map(([label]) => label.length));
  const line = ([label, value]: [string, string]): string => `  ${label.padEnd(width)}  ${value}`;
  return [
    `Load: ${names.map((name) => `--${toFlag(name)} ${load[name]}`).join(' ')}`,
    '\nCapacity',
    ...rows.map(line),
    '\nCost drivers, US dollars per month at list prices',
    ...costs.map(([label, cost]) => line([label, cost < 1 ? 'under 1' : String(Math.round(cost))])),
    '\nSettings',
    `  API_MAX=${api} WORKER_INSTANCES=${worker} WORKER_MAX=${worker} DISPATCHER_MAX=${dispatcher} ALLOYDB_CPUS=${databaseCpus}`,
    ...(problems.length === 0 ? [] : ['\nProblems', ...problems.map((text) => `  - ${text}`)]),
  ].join('\n');
}

try {
  const [first] = process.argv.slice(2);
  const reports: Record<string, () => string> = {
    cost: describeCosts,
    scaling: describeScaling,
    primary: describePrimary,
  };
  const text = (reports[first ?? ''] ?? (() => describe(readLoad())))();
  process.stdout.write(`${text}\n`);
} catch (error) {
  process.stderr.write(`capacity: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 64; // EX_USAGE of sysexits.h
}
