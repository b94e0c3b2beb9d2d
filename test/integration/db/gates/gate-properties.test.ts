/**
 * The invariants hold for everything that workers and the API do at the same time. Random programs of each
 * run concurrently on a real PostgreSQL and are checked against the actual order of the gates' changes.
 * `TEST_SEED` repeats the programs of a run, but not how they interleaved.
 */
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { skipIfEncrypted } from '../../../support/database/contents.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { checkTask, recordHistory } from '../../../support/database/gate/history.ts';
import { World, type ApiAct, type TimeAct, type WorkerAct } from '../../../support/database/gate/world.ts';

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
const webhookEvents = fc.constantFrom('all', 'state', 'end');
const apiAct = fc.oneof(
  { weight: 5, arbitrary: act('message', {}) },
  { weight: 1, arbitrary: act('cancel', {}) },
  { weight: 3, arbitrary: act('configure', { events: webhookEvents }) },
  { weight: 1, arbitrary: act('unconfigure', {}) },
) as fc.Arbitrary<ApiAct>;
const timeAct = act('expire', {}) as fc.Arbitrary<TimeAct>;
const createProgram = <T>(acts: fc.Arbitrary<T>, maxLength: number) =>
  fc.array(acts, { minLength: Math.floor(maxLength / 3), maxLength, size: 'max' });

const programs = fc.record({
  webhooks: fc.array(fc.option(webhookEvents), { minLength: 1, maxLength: 2 }),
  workers: fc.array(createProgram(workerAct, 12), { minLength: 3, maxLength: 3 }),
  apis: fc.array(createProgram(apiAct, 6), { minLength: 2, maxLength: 2 }),
  time: createProgram(timeAct, 8),
});

type Program = typeof programs extends fc.Arbitrary<infer T> ? T : never;

describe('gate', () => {
  test(
    'keeps the invariants when workers and the API act concurrently',
    { skip: skipIfEncrypted },
    async (t) => {
      const { db, pool } = await connectToTestDatabase();
      await recordHistory(pool);
      const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 31);
      let runs = 0;
      let acts = 0;
      await fc.assert(
        fc.asyncProperty(programs, async (program) => {
          // Several worlds at once interleave in more ways, and take no longer.
          const worlds = Array.from({ length: worldsAtOnce }, () => new World(db, pool));
          await Promise.all(worlds.map((world) => run(world, program)));
          for (const world of worlds) {
            for (const taskId of world.tasks) await checkTask(pool, taskId, world.acts);
            runs += 1;
            acts += world.acts.length;
          }
        }),
        { seed, numRuns: 10_000, interruptAfterTimeLimit: limitMs, endOnFailure: true, verbose: 0 },
      );
      t.diagnostic(`seed ${seed}: ${runs} programs, ${acts} acts`);
    },
  );
});

async function run(world: World, { webhooks, workers, apis, time }: Program): Promise<void> {
  for (const events of webhooks) await world.accept(events);
  await Promise.all([
    ...workers.map((program) => runInOrder(program, world.createWorker())),
    ...apis.map((program) => runInOrder(program, world.createApi())),
    runInOrder(time, (act) => world.expire(act)),
  ]);
  await world.drain();
}

async function runInOrder<T>(program: readonly T[], run: (act: T) => Promise<void>): Promise<void> {
  for (const act of program) await run(act);
}
