/**
 * The cost of an operation, as measured with warm processes on the two cores of docs/bench: CPU time in microseconds, in the
 * middle of the ranges of docs/bench/README.md. A test compares the rates that follow from it with the published figures.
 */

/** CPU time of one operation, in microseconds, by process. `others`: the load and the emulator of Pub/Sub. */
export interface Cost {
  api: number;
  worker: number;
  database: number;
  others: number;
}

export const costs = {
  /** Stored in a set with others; its turn does not run. */
  accept: { api: 88, worker: 0, database: 55, others: 35 },
  /** From the send to the end, with one turn that does nothing. */
  task: { api: 100, worker: 80, database: 150, others: 55 },
  step: { api: 0, worker: 26, database: 30, others: 0 },
  /** Reads a task that has not changed since the last read. */
  read: { api: 48, worker: 0, database: 5, others: 25 },
} as const satisfies Record<string, Cost>;

/** CPU time of a statement in the database in addition to that of its rows, in microseconds: of a set of one. */
export const statementCost = 800;

/** Log of the database for each byte that a task stores: 5.3 KB for a task that does nothing. */
export const logPerStored = 1.5;

/** Share of the time in which cores are busy while callers want more: processes wait for each other. */
const busyShare = 0.85;

export function addCosts(...parts: readonly { cost: Cost; count: number }[]): Cost {
  const sum = (process: keyof Cost): number =>
    parts.reduce((total, { cost, count }) => total + count * cost[process], 0);
  return { api: sum('api'), worker: sum('worker'), database: sum('database'), others: sum('others') };
}

/**
 * Returns how many operations a second one api and one worker do on a machine that they share with everything else. Each
 * of the two is one thread.
 */
export function predictRate({ api, worker, database, others }: Cost, cores: number): number {
  const shared = cores / (api + worker + database + others);
  return 1_000_000 * busyShare * Math.min(shared, 1 / Math.max(api, worker));
}
