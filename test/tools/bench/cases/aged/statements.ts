/** Work of services in the database without a caller waiting for it, or as a part of a call: measured in this process. */
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import type { Db } from '#shared/db/client/pool.ts';
import { readLogPosition, tailEvents } from '#shared/db/events/read.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { toContextKey } from '#shared/db/tasks/context-key.ts';
import { deleteEndedTasks } from '#shared/db/tasks/retention.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { HistoryCache } from '#shared/db/turns/history/cache.ts';
import { readHistory } from '#shared/db/turns/history/read.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { createReconciler } from '#shared/outbox/reconciler.ts';
import { newTask, newTurnEnd } from '../../../../support/database/new-task.ts';
import { median } from '../../rounds.ts';
import type { Measurement } from './compare.ts';
import { largeOwner, longContext } from './preload/seed.ts';
import type { Side } from './sides.ts';

export const writeOptions = { idempotencyWindowSeconds: 86_400, wakeupGraceSeconds: 60 };
export const claimOptions = { worker: 'bench', leaseSeconds: 60, maxAttempts: 5, ...writeOptions };
/** The default settings; nothing is old enough for retention. */
export const quietConfig = {
  wakeupGraceSeconds: 60,
  reconcileMs: 2_000,
  interruptedExpirySeconds: 30 * 86_400,
  retentionSeconds: 365 * 86_400,
};
export const idleOutbox: OutboxPublisher = {
  publish: () => undefined,
  publishAll: () => Promise.resolve(),
  idle: () => Promise.resolve(),
};
/** A set of turns, as a busy worker claims it. */
const turns = 128;
const history = {
  maxTurns: 100,
  recordBytes: 1_000_000,
  memory: { maxBytes: 200_000_000, take: async () => undefined },
  owner: largeOwner,
};
const passes = 20;
/** Tasks that retention removes in a round, in batches of the reconciler's size. */
const removed = 1_000;
const removedAtOnce = 100;

export const statements: readonly Measurement[] = [
  {
    name: 'claim of 128 turns in fresh contexts',
    unit: 'ms',
    measure: ({ db }) => measureTurns(db, undefined, 'claim'),
  },
  {
    name: 'claim of 128 turns in the longest context',
    unit: 'ms',
    measure: ({ db }) => measureTurns(db, longContext, 'claim'),
  },
  { name: 'end of 128 turns', unit: 'ms', measure: ({ db }) => measureTurns(db, undefined, 'end') },
  {
    name: 'history of a turn in the longest context, 100 turns',
    unit: 'ms',
    measure: ({ db }) => measureHistory(db),
  },
  { name: 'poll of new events', unit: 'ms', measure: ({ db }) => measurePolls(db) },
  { name: 'pass of the reconciler that finds nothing', unit: 'ms', measure: ({ db }) => measurePasses(db) },
  { name: 'retention, tasks removed', unit: '/s', measure: measureRetention },
];

async function timed(run: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await run();
  return performance.now() - from;
}

/** Accepts tasks, claims their turns and ends them. @returns the milliseconds of one of these parts */
async function measureTurns(db: Db, contextId: string | undefined, part: 'claim' | 'end'): Promise<number> {
  const accept = createAccept(db, writeOptions);
  const claim = createClaim(db, claimOptions);
  const write = createTurnWriter(db, writeOptions);
  const taken: number[] = [];
  for (let pass = 0; pass < 5; pass++) {
    const tasks = Array.from({ length: turns }, () =>
      newTask({ owner: largeOwner, ...(contextId !== undefined && { contextId }) }),
    );
    await Promise.all(tasks.map((task) => accept(task)));
    const claimMs = await timed(() => Promise.all(tasks.map(({ taskId }) => claim(taskId))));
    const endMs = await timed(() =>
      Promise.all(
        tasks.map(({ taskId }) =>
          write({ lease: { taskId, turn: 1, fence: 1 }, finish: newTurnEnd(taskId, 'TASK_STATE_COMPLETED') }),
        ),
      ),
    );
    taken.push(part === 'claim' ? claimMs : endMs);
  }
  // No service runs that would publish them.
  await db.deleteFrom('outbox').execute();
  return median(taken);
}

async function measureHistory(db: Db): Promise<number> {
  const key = toContextKey({ tenant: '', owner: largeOwner, contextId: longContext });
  const lease = { taskId: uuidv7(), turn: 1, fence: 1 };
  const taken: number[] = [];
  for (let pass = 0; pass < passes; pass++) {
    // An empty cache each time.
    const cache = new HistoryCache(() => 100_000_000);
    taken.push(await timed(() => readHistory({ db, cache }, lease, key, history)));
  }
  return median(taken);
}

async function measurePolls(db: Db): Promise<number> {
  const followed = Array.from({ length: 100 }, () => randomUUID());
  let position = await readLogPosition(db);
  const taken: number[] = [];
  for (let pass = 0; pass < 10 * passes; pass++) {
    taken.push(await timed(async () => (position = (await tailEvents(db, position, followed)).next)));
  }
  return median(taken);
}

async function measurePasses(db: Db): Promise<number> {
  const log = pino({ enabled: false });
  const reconcile = createReconciler({ db, outbox: idleOutbox, config: quietConfig, log });
  const taken: number[] = [];
  for (let pass = 0; pass < passes; pass++) taken.push(await timed(reconcile));
  return median(taken);
}

/** Removes the oldest tasks. */
async function measureRetention({ db, pool }: Side): Promise<number> {
  const { rows } = await pool.query<{ age: number }>(
    `select extract(epoch from now() - settled_at)::float8 as age from gates
     where state_class = 2 and settled_at is not null order by settled_at offset $1 limit 1`,
    [removed],
  );
  const retentionSeconds = rows[0]?.age ?? 0;
  let count = 0;
  const ms = await timed(async () => {
    while (count < removed) {
      const deleted = await deleteEndedTasks(db, { limit: removedAtOnce, retentionSeconds });
      count += deleted;
      if (deleted === 0) return;
    }
  });
  return (1000 * count) / ms;
}
