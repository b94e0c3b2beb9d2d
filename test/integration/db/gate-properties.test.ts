/**
 * Whatever several workers and the front door do at the same time, in whatever order the database takes it, the
 * invariants hold: random programs for each of them, run concurrently on a real PostgreSQL, and checked against the
 * true order of the gates' changes. `TEST_SEED` repeats the programs of a run, not the order in which they met.
 */
import { test } from 'node:test';
import * as fc from 'fast-check';
import { openDatabase } from '#shared/db/client/pool.ts';
import { checkTask, recordHistory } from '../../support/gate/history.ts';
import { World, type ApiAct, type TimeAct, type WorkerAct } from '../../support/gate/world.ts';
import { testDatabase } from '../../support/database/postgres.ts';

const limitMs = 8_000;
const worldsAtOnce = 4;

const task = fc.nat({ max: 1 });
const lease = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.nat({ max: 3 }) },
);
const act = <K extends string, T extends object>(kind: K, rest: { [F in keyof T]: fc.Arbitrary<T[F]> }) =>
  fc.record({ kind: fc.constant(kind), task, ...rest });
const endState = fc.constantFrom(
  'TASK_STATE_COMPLETED',
  'TASK_STATE_COMPLETED',
  'TASK_STATE_INPUT_REQUIRED',
  'TASK_STATE_INPUT_REQUIRED',
  'TASK_STATE_AUTH_REQUIRED',
  'TASK_STATE_FAILED',
  'TASK_STATE_REJECTED',
);
const workerAct = fc.oneof(
  { weight: 4, arbitrary: act('claim', {}) },
  { weight: 1, arbitrary: act('extend', { lease }) },
  { weight: 3, arbitrary: act('progress', { lease, events: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 3, arbitrary: act('step', { lease, name: fc.constantFrom('a', 'a', 'b') }) },
  { weight: 2, arbitrary: act('end', { lease, state: endState }) },
  {
    weight: 1,
    arbitrary: act('release', {
      lease,
      delaySeconds: fc.constantFrom(0, 60),
      countAttempt: fc.boolean(),
    }),
  },
) as fc.Arbitrary<WorkerAct>;
const hook = fc.constantFrom('all', 'state', 'end');
const apiAct = fc.oneof(
  { weight: 5, arbitrary: act('message', {}) },
  { weight: 1, arbitrary: act('cancel', {}) },
  { weight: 3, arbitrary: act('configure', { events: hook }) },
  { weight: 1, arbitrary: act('unconfigure', {}) },
) as fc.Arbitrary<ApiAct>;
const timeAct = act('expire', {}) as fc.Arbitrary<TimeAct>;
const programOf = <T>(one: fc.Arbitrary<T>, maxLength: number) =>
  fc.array(one, { minLength: Math.floor(maxLength / 3), maxLength, size: 'max' });

const programs = fc.record({
  hooks: fc.array(fc.option(hook), { minLength: 1, maxLength: 2 }),
  workers: fc.array(programOf(workerAct, 12), { minLength: 3, maxLength: 3 }),
  doors: fc.array(programOf(apiAct, 6), { minLength: 2, maxLength: 2 }),
  time: programOf(timeAct, 8),
});

type Program = typeof programs extends fc.Arbitrary<infer T> ? T : never;

test('the invariants hold whatever is done at the same time', async (t) => {
  const database = await testDatabase();
  const { db, pool } = openDatabase({
    url: database.url,
    poolSize: 10,
    applicationName: 'test',
    onError: () => undefined,
  });
  t.after(async () => {
    await pool.end();
    await database.close();
  });
  await recordHistory(pool);
  const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 31);
  let runs = 0;
  let acts = 0;
  await fc.assert(
    fc.asyncProperty(programs, async (program) => {
      // Several at once meet in more ways, and take no longer.
      const worlds = Array.from({ length: worldsAtOnce }, () => new World(db, pool));
      await Promise.all(worlds.map((world) => run(world, program)));
      for (const world of worlds) {
        for (const taskId of world.tasks) await checkTask(pool, taskId, world.done);
        runs += 1;
        acts += world.done.length;
      }
    }),
    { seed, numRuns: 10_000, interruptAfterTimeLimit: limitMs, endOnFailure: true, verbose: 0 },
  );
  t.diagnostic(`seed ${seed}: ${runs} programs, ${acts} acts`);
});

async function run(world: World, { hooks, workers, doors, time }: Program): Promise<void> {
  for (const one of hooks) await world.accept(one);
  await Promise.all([
    ...workers.map((program) => inOrder(program, world.worker())),
    ...doors.map((program) => inOrder(program, world.door())),
    inOrder(time, (one) => world.expire(one)),
  ]);
  await world.drain();
}

async function inOrder<T>(program: readonly T[], run: (one: T) => Promise<void>): Promise<void> {
  for (const one of program) await run(one);
}
