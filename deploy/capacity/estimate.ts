/** From a load to what it takes: instances, connections, queues, and what it costs. Pure; Little's law and limits. */
import { fullness, limits, prices, rates } from './limits.ts';

export interface CapacityLoad {
  tasksPerDay: number;
  /** How much more comes in the busiest minute than on average. */
  peak: number;
  turnsPerTask: number;
  turnSeconds: number;
  modelCallsPerTurn: number;
  inputTokensPerTurn: number;
  outputTokensPerTurn: number;
  /** Of the model, a minute; 0: not known. */
  requestsPerMinute: number;
  tokensPerMinute: number;
  /** Reads and other requests beside the sends. */
  readsPerTask: number;
  openStreams: number;
  webhooksPerTask: number;
  receiverSeconds: number;
  workerConcurrency: number;
  poolSize: number;
  databaseConnections: number;
  retentionDays: number;
  kilobytesPerTask: number;
  /** US dollars for a million tokens. */
  inputPrice: number;
  outputPrice: number;
}

export interface CapacityEstimate {
  /** In the busiest minute. */
  tasksPerSecond: number;
  turnsAtOnce: number;
  model: { requestsPerMinute: number; tokensPerMinute: number; turnsPerSecond: number };
  api: number;
  worker: number;
  dispatcher: number;
  connections: number;
  databaseCpus: number;
  storedGibibytes: number;
  webhooksPerSecond: number;
  /** By what drives them, the largest first; US dollars a month. */
  costs: [string, number][];
  /** What will not work so, in words. */
  problems: string[];
}

const secondsPerDay = 86_400;
const daysPerMonth = 30;
/** Accept, claim, end, the events between, and a step with its record for each call. */
const rowsPerTurn = (load: CapacityLoad): number => 8 + 2 * load.modelCallsPerTurn + load.webhooksPerTask;
const spansPerTask = (load: CapacityLoad): number =>
  2 + load.turnsPerTask * (2 + 3 * load.modelCallsPerTurn) + 2 * load.webhooksPerTask;

export function estimateCapacity(load: CapacityLoad): CapacityEstimate {
  const tasksPerSecond = (load.tasksPerDay / secondsPerDay) * load.peak;
  const turnsPerSecondWanted = tasksPerSecond * load.turnsPerTask;
  const tokensPerTurn = load.inputTokensPerTurn + load.outputTokensPerTurn;
  const model = {
    requestsPerMinute: turnsPerSecondWanted * load.modelCallsPerTurn * 60,
    tokensPerMinute: turnsPerSecondWanted * tokensPerTurn * 60,
    turnsPerSecond: Math.min(
      perSecond(load.requestsPerMinute, load.modelCallsPerTurn),
      perSecond(load.tokensPerMinute, tokensPerTurn),
    ),
  };
  // What the model does not take waits; more workers would not change that.
  const turnsPerSecond = Math.min(turnsPerSecondWanted, model.turnsPerSecond);
  const turnsAtOnce = turnsPerSecond * load.turnSeconds;
  const webhooksPerSecond = tasksPerSecond * load.webhooksPerTask;
  const requestsPerSecond = turnsPerSecondWanted + tasksPerSecond * load.readsPerTask;

  const api = instances(
    requestsPerSecond / rates.apiRequestsPerSecond,
    load.openStreams / (limits.apiRequests * fullness),
  );
  const worker = instances(
    turnsAtOnce / (load.workerConcurrency * fullness),
    turnsPerSecond / rates.turnsPerSecond,
  );
  const dispatcher = instances(
    (webhooksPerSecond * load.receiverSeconds) / (limits.dispatcherRequests * fullness),
  );
  const connections = api * (load.poolSize + 1) + (worker + dispatcher) * load.poolSize + 2;
  const cpus = (turnsPerSecond * rowsPerTurn(load)) / rates.databaseRowsPerSecond;
  const databaseCpus = limits.databaseCpus.find((size) => size >= cpus) ?? Math.ceil(cpus);
  const storedGibibytes = (load.tasksPerDay * load.retentionDays * load.kilobytesPerTask) / 1024 / 1024;

  const result = { tasksPerSecond, turnsAtOnce, model, api, worker, dispatcher, connections, databaseCpus };
  const all = { ...result, storedGibibytes, webhooksPerSecond };
  return { ...all, costs: costsOf(load, all), problems: problemsOf(load, all) };
}

type Sizes = Omit<CapacityEstimate, 'costs' | 'problems'>;

function costsOf(load: CapacityLoad, sizes: Sizes): [string, number][] {
  const millionTasks = (load.tasksPerDay * daysPerMonth) / 1_000_000;
  const tokens = load.inputTokensPerTurn * load.inputPrice + load.outputTokensPerTurn * load.outputPrice;
  const costs: [string, number][] = [
    ['models: tokens', millionTasks * load.turnsPerTask * tokens],
    ['AlloyDB: vCPUs', sizes.databaseCpus * prices.databaseCpu],
    ['AlloyDB: storage', sizes.storedGibibytes * prices.gibibyteStored],
    ['front door, at its peak all the time', sizes.api * prices.instance],
    ['workers, at their peak all the time', sizes.worker * prices.instance],
    ['dispatcher, at its peak all the time', sizes.dispatcher * prices.instance],
    ['Pub/Sub: messages', millionTasks * load.turnsPerTask * 2 * prices.millionPubSubMessages],
    ['Cloud Tasks: calls', millionTasks * load.webhooksPerTask * prices.millionCloudTasks],
    ['Cloud Trace: spans of all tasks', millionTasks * spansPerTask(load) * prices.millionSpans],
    ['Cloud Logging: about 2 KiB a task', ((millionTasks * 2_000_000) / 1024 / 1024) * prices.gibibyteOfLogs],
  ];
  return costs.sort((a, b) => b[1] - a[1]);
}

function problemsOf(load: CapacityLoad, sizes: Sizes): string[] {
  const { model } = sizes;
  const problems: string[] = [];
  const told = (condition: boolean, text: string): void => void (condition && problems.push(text));
  const short = model.turnsPerSecond < sizes.tasksPerSecond * load.turnsPerTask;
  const daily = load.tasksPerDay * load.turnsPerTask;
  told(
    short && model.turnsPerSecond * secondsPerDay < daily,
    `The model takes ${Math.floor(model.turnsPerSecond * secondsPerDay)} turns a day, and ${daily} come: the queue only grows. Ask for more quota.`,
  );
  told(
    short && model.turnsPerSecond * secondsPerDay >= daily,
    'The model takes less than comes at the peak: turns wait until it is over. More workers do not help.',
  );
  told(
    sizes.connections >= load.databaseConnections,
    `${sizes.connections} connections are more than the ${load.databaseConnections} of the database: use smaller pools, or a larger max_connections.`,
  );
  for (const name of ['api', 'worker', 'dispatcher'] as const) {
    told(
      sizes[name] > limits.instances,
      `${sizes[name]} instances of ${name} are more than the ${limits.instances} that a revision with Direct VPC egress may have in some regions: ask for more, or give each more CPU.`,
    );
  }
  told(
    sizes.webhooksPerSecond > limits.dispatchesPerSecond,
    `${Math.ceil(sizes.webhooksPerSecond)} webhooks a second are more than the ${limits.dispatchesPerSecond} calls of one queue: those of one config share calls, others come late.`,
  );
  return problems;
}

function perSecond(quotaPerMinute: number, perTurn: number): number {
  return quotaPerMinute === 0 || perTurn === 0 ? Number.POSITIVE_INFINITY : quotaPerMinute / 60 / perTurn;
}

function instances(...wanted: number[]): number {
  return Math.max(1, ...wanted.map(Math.ceil));
}
