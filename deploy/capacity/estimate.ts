/** Estimates the instances, connections and cost of a load, with Little's law and known limits. Pure. */
import { limits, rates, targetUtilization } from './limits.ts';
import { prices } from './prices.ts';

export interface CapacityLoad {
  tasksPerDay: number;
  /** Load in the busiest minute, as a multiple of the average. */
  peak: number;
  turnsPerTask: number;
  turnSeconds: number;
  modelCallsPerTurn: number;
  inputTokensPerTurn: number;
  outputTokensPerTurn: number;
  /** Quota of the model; 0 if unknown. */
  requestsPerMinute: number;
  /** Quota of the model; 0 if unknown. */
  tokensPerMinute: number;
  /** Requests other than sends. */
  readsPerTask: number;
  openStreams: number;
  webhooksPerTask: number;
  receiverSeconds: number;
  workerConcurrency: number;
  poolSize: number;
  databaseConnections: number;
  retentionDays: number;
  kilobytesPerTask: number;
  /** US dollars per million tokens. */
  inputPrice: number;
  outputPrice: number;
}

export interface CapacityEstimate {
  /** In the busiest minute. */
  tasksPerSecond: number;
  concurrentTurns: number;
  model: { requestsPerMinute: number; tokensPerMinute: number; turnsPerSecond: number };
  api: number;
  worker: number;
  dispatcher: number;
  connections: number;
  databaseCpus: number;
  storedGibibytes: number;
  webhooksPerSecond: number;
  /** Cost drivers in US dollars per month, largest first. */
  costs: [string, number][];
  /** Limits that the load exceeds, as sentences. */
  problems: string[];
}

const secondsPerDay = 86_400;
const daysPerMonth = 30;
/** Accept, claim, end and the events between; for each model call, a step and its record. */
const rowsPerTurn = (load: CapacityLoad): number => 8 + 2 * load.modelCallsPerTurn + load.webhooksPerTask;
const spansPerTask = (load: CapacityLoad): number =>
  2 + load.turnsPerTask * (2 + 3 * load.modelCallsPerTurn) + 2 * load.webhooksPerTask;

export function estimateCapacity(load: CapacityLoad): CapacityEstimate {
  const tasksPerSecond = (load.tasksPerDay / secondsPerDay) * load.peak;
  const requestedTurnsPerSecond = tasksPerSecond * load.turnsPerTask;
  const tokensPerTurn = load.inputTokensPerTurn + load.outputTokensPerTurn;
  const model = {
    requestsPerMinute: requestedTurnsPerSecond * load.modelCallsPerTurn * 60,
    tokensPerMinute: requestedTurnsPerSecond * tokensPerTurn * 60,
    turnsPerSecond: Math.min(
      maxTurnsPerSecond(load.requestsPerMinute, load.modelCallsPerTurn),
      maxTurnsPerSecond(load.tokensPerMinute, tokensPerTurn),
    ),
  };
  // Turns beyond the model quota wait. More workers would not change that.
  const turnsPerSecond = Math.min(requestedTurnsPerSecond, model.turnsPerSecond);
  const concurrentTurns = turnsPerSecond * load.turnSeconds;
  const webhooksPerSecond = tasksPerSecond * load.webhooksPerTask;
  const requestsPerSecond = requestedTurnsPerSecond + tasksPerSecond * load.readsPerTask;

  const api = countInstances(
    requestsPerSecond / rates.apiRequestsPerSecond,
    load.openStreams / (limits.apiRequests * targetUtilization),
  );
  const worker = countInstances(
    concurrentTurns / (load.workerConcurrency * targetUtilization),
    turnsPerSecond / rates.turnsPerSecond,
  );
  const dispatcher = countInstances(
    (webhooksPerSecond * load.receiverSeconds) / (limits.dispatcherAttempts * targetUtilization),
    webhooksPerSecond / rates.webhooksPerSecond,
  );
  const connections = (api + dispatcher) * (load.poolSize + 1) + worker * load.poolSize + 2;
  const cpus = (turnsPerSecond * rowsPerTurn(load)) / rates.databaseRowsPerSecond;
  const databaseCpus = limits.databaseCpus.find((size) => size >= cpus) ?? Math.ceil(cpus);
  const storedGibibytes = (load.tasksPerDay * load.retentionDays * load.kilobytesPerTask) / 1024 / 1024;

  const sizes: Sizes = {
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
  };
  return { ...sizes, costs: estimateCosts(load, sizes), problems: findProblems(load, sizes) };
}

type Sizes = Omit<CapacityEstimate, 'costs' | 'problems'>;

function estimateCosts(load: CapacityLoad, sizes: Sizes): [string, number][] {
  const millionTasks = (load.tasksPerDay * daysPerMonth) / 1_000_000;
  const tokens = load.inputTokensPerTurn * load.inputPrice + load.outputTokensPerTurn * load.outputPrice;
  const costs: [string, number][] = [
    ['models: tokens', millionTasks * load.turnsPerTask * tokens],
    ['AlloyDB: vCPUs', sizes.databaseCpus * prices.databaseCpu],
    ['AlloyDB: storage', sizes.storedGibibytes * prices.gibibyteStored],
    ['api, always at its peak', sizes.api * prices.instance],
    ['workers, always at their peak', sizes.worker * prices.instance],
    ['dispatcher, always at its peak', sizes.dispatcher * prices.instance],
    ['Pub/Sub: messages', millionTasks * load.turnsPerTask * 2 * prices.millionPubSubMessages],
    // Each call is two operations: to create it, and to make it.
    ['Cloud Tasks: calls', millionTasks * load.webhooksPerTask * 2 * prices.millionCloudTasks],
    ['Cloud Trace: spans of all tasks', millionTasks * spansPerTask(load) * prices.millionSpans],
    [
      'Cloud Logging: about 2 KiB per task',
      ((millionTasks * 2_000_000) / 1024 / 1024) * prices.gibibyteOfLogs,
    ],
  ];
  return costs.sort((a, b) => b[1] - a[1]);
}

function findProblems(load: CapacityLoad, sizes: Sizes): string[] {
  const { model } = sizes;
  const problems: string[] = [];
  const addIf = (condition: boolean, text: string): void => void (condition && problems.push(text));
  const quotaTooLow = model.turnsPerSecond < sizes.tasksPerSecond * load.turnsPerTask;
  const turnsPerDay = load.tasksPerDay * load.turnsPerTask;
  addIf(
    quotaTooLow && model.turnsPerSecond * secondsPerDay < turnsPerDay,
    `The model quota allows ${Math.floor(model.turnsPerSecond * secondsPerDay)} turns per day, but ${turnsPerDay} are expected: the queue only grows. Request more quota.`,
  );
  addIf(
    quotaTooLow && model.turnsPerSecond * secondsPerDay >= turnsPerDay,
    'The model quota is below the peak load: turns wait until the peak is over. More workers do not help.',
  );
  addIf(
    sizes.connections >= load.databaseConnections,
    `${sizes.connections} connections exceed the ${load.databaseConnections} that the database allows: use smaller pools or a larger max_connections.`,
  );
  for (const name of ['api', 'worker', 'dispatcher'] as const) {
    addIf(
      sizes[name] > limits.instances,
      `${sizes[name]} instances of ${name} exceed the ${limits.instances} that some regions allow for a revision with Direct VPC egress: request more, or use larger instances.`,
    );
  }
  addIf(
    sizes.webhooksPerSecond > limits.dispatchesPerSecond,
    `${Math.ceil(sizes.webhooksPerSecond)} webhooks per second exceed the ${limits.dispatchesPerSecond} calls per second of one queue: if many of them must be retried, the retries are late. Name more queues in CLOUD_TASKS_QUEUE.`,
  );
  return problems;
}

function maxTurnsPerSecond(quotaPerMinute: number, perTurn: number): number {
  return quotaPerMinute === 0 || perTurn === 0 ? Number.POSITIVE_INFINITY : quotaPerMinute / 60 / perTurn;
}

function countInstances(...demands: number[]): number {
  return Math.max(1, ...demands.map(Math.ceil));
}
