/**
 * Ways to size the worker pool, in a simulation second by second: turns arrive, wait for a slot and run; a scaler sees the load
 * late, and instances take time to start. Pure. docs/operate/scaling.md says where the delays come from.
 */
import { rates, targetUtilization } from './limits.ts';

export interface Burst {
  /** Turns that arrive at the start, on an idle system. */
  turns: number;
  turnSeconds: number;
  workerConcurrency: number;
  maxInstances: number;
}

export interface Scaler {
  name: string;
  minInstances: number;
  /** Seconds from a change of the load to the decision about it. */
  seesAfter: number;
  /** Seconds from the decision to an instance that takes turns. */
  startsAfter: number;
  /** Instances that are wanted for the load as the scaler sees it. */
  want: (seen: { running: number; waiting: number; instances: number }, burst: Burst) => number;
}

export interface ScalingOutcome {
  /** Seconds that the turn waited which started last; Infinity: not all had started within the time of the simulation. */
  oldestWait: number;
  /** Largest number of waiting turns, after the first second. */
  backlog: number;
  peakInstances: number;
  instanceHours: number;
  /** After the work was done. */
  idleInstances: number;
}

/** The CPU of an instance that one running turn takes: it mostly waits for the model. */
const cpuShare = ({ turnSeconds }: Burst): number => 1 / rates.turnsPerSecond / turnSeconds;
const forSlots = (turns: number, { workerConcurrency }: Burst): number =>
  Math.ceil(turns / (workerConcurrency * targetUtilization));

export const scalers: readonly Scaler[] = [
  {
    name: 'CPU autoscaling of the pool, 60%',
    minInstances: 1,
    seesAfter: 60,
    startsAfter: 15,
    want: ({ running, instances }, burst) =>
      Math.ceil((running * cpuShare(burst)) / 0.6) || Math.min(1, instances),
  },
  {
    name: 'CREMA by longhaul.turns.desired',
    minInstances: 1,
    seesAfter: 150, // exported each minute, 60 s of ingestion on average, asked for every 30 s
    startsAfter: 15,
    want: ({ running, waiting }, burst) =>
      forSlots(running + waiting * Math.min(1, burst.turnSeconds / 60), burst),
  },
  {
    name: 'CREMA, to zero (and Pub/Sub backlog)',
    minInstances: 0,
    seesAfter: 210, // metrics of Google Cloud take two minutes and more
    startsAfter: 15,
    want: ({ running, waiting }, burst) =>
      forSlots(running + waiting * Math.min(1, burst.turnSeconds / 60), burst),
  },
  {
    name: 'push workers (WORKER_MODE=push)',
    minInstances: 0,
    seesAfter: 1, // each wake-up is a request, which waits for an instance
    startsAfter: 15,
    want: ({ running, waiting }, burst) => forSlots(running + waiting, burst),
  },
];

const simulatedSeconds = 7_200;

export function simulate(scaler: Scaler, burst: Burst): ScalingOutcome {
  const ends: number[] = [];
  const history: { running: number; waiting: number; instances: number }[] = [];
  const starting: { at: number; count: number }[] = [];
  let [waiting, instances, wanted] = [burst.turns, scaler.minInstances, scaler.minInstances];
  let [oldestWait, backlog, peakInstances, instanceSeconds] = [0, 0, instances, 0];
  for (let second = 0; second < simulatedSeconds; second += 1) {
    while (ends[0] !== undefined && ends[0] <= second) ends.shift();
    for (const start of starting.filter(({ at }) => at === second)) instances += start.count;
    const free = Math.max(0, instances * burst.workerConcurrency - ends.length);
    const started = Math.min(waiting, free, instances * rates.turnsPerSecond);
    for (let index = 0; index < started; index += 1) ends.push(second + burst.turnSeconds);
    if (started > 0) oldestWait = second;
    waiting -= started;
    if (second > 0) backlog = Math.max(backlog, waiting);
    history.push({ running: ends.length, waiting, instances });
    const seen = history[second - scaler.seesAfter];
    if (seen !== undefined) {
      const next = Math.min(burst.maxInstances, Math.max(scaler.minInstances, scaler.want(seen, burst)));
      if (next > wanted) starting.push({ at: second + scaler.startsAfter, count: next - wanted });
      // A removed instance would return its leases: only those without turns go.
      else if (next < wanted)
        instances = Math.max(Math.ceil(ends.length / burst.workerConcurrency), Math.min(instances, next));
      wanted = next;
    }
    peakInstances = Math.max(peakInstances, instances);
    instanceSeconds += instances;
  }
  return {
    oldestWait: waiting > 0 ? Number.POSITIVE_INFINITY : oldestWait,
    backlog,
    peakInstances,
    instanceHours: instanceSeconds / 3_600,
    idleInstances: instances,
  };
}

export const burst: Burst = { turns: 1_000, turnSeconds: 120, workerConcurrency: 100, maxInstances: 20 };

export function describeScaling(): string {
  const rows = scalers.map((scaler) => {
    const { oldestWait, backlog, peakInstances, instanceHours, idleInstances } = simulate(scaler, burst);
    return [
      scaler.name,
      Number.isFinite(oldestWait) ? `${oldestWait} s` : 'over 2 h',
      String(backlog),
      String(peakInstances),
      instanceHours.toFixed(1),
      String(idleInstances),
    ];
  });
  const head = ['', 'oldest wait', 'backlog', 'instances', 'hours', 'idle'];
  const widths = head.map((_, column) =>
    Math.max(...[head, ...rows].map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ');
  return [
    `${burst.turns} turns of ${burst.turnSeconds} s arrive at once on an idle system; ${burst.workerConcurrency} run on an instance, at most ${burst.maxInstances} instances`,
    '',
    line(head),
    ...rows.map(line),
    '',
    'oldest wait: until the last turn has started; hours: of instances, within two hours; idle: instances at their end',
  ].join('\n');
}
