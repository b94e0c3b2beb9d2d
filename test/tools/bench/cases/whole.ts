/** Whole tasks of an empty agent, from the request through Pub/Sub and a worker to completion. */
import { waitFor } from '../../../support/wait-for.ts';
import { createSendJob, type Job } from '../jobs.ts';
import { migrateSdk, withRig, type Rig } from '../rig.ts';
import { alternate, perSecond, polling, ratio, rounds, warmUpSeconds, type BenchCase } from '../rounds.ts';

const jobs = 10_000;
const stepsEach = 5;

export const wholeCase: BenchCase = () =>
  withRig(async (rig) => {
    const [sdkDatabase, jobDatabase] = [await rig.createEmptyDatabase(), await rig.createEmptyDatabase()];
    await migrateSdk(sdkDatabase);
    const [api, , memory, postgres] = await Promise.all([
      rig.service('api'),
      // These turns wait for the database alone, so more of them at once form larger sets.
      rig.service('worker', { WORKER_CONCURRENCY: '300' }),
      rig.peer('sdk', {}),
      rig.peer('sdk', { DATABASE_URL: sdkDatabase }),
    ]);
    const engine = async () => {
      const peer = await rig.peer('graphile', { DATABASE_URL: jobDatabase });
      const { perSecond } = await peer.ask<{ perSecond: number }>({ jobs });
      await peer.kill();
      return perSecond;
    };
    const blocking = async (url: string, seconds = 2) =>
      (await rig.load(createSendJob(url, 'whole', {}, { seconds }))).perSecond;
    await runWholeTasks(rig, api.url, 30_000); // takes about as long as the other warm-ups
    await blocking(memory.url, warmUpSeconds);
    await blocking(postgres.url, warmUpSeconds);
    const medians = await alternate(
      {
        longhaul: () => runWholeTasks(rig, api.url, 10_000),
        memory: () => blocking(memory.url),
        postgres: () => blocking(postgres.url),
        engine,
      },
      rounds,
    );
    return [
      perSecond('Longhaul', medians.longhaul),
      perSecond('SDK with PostgreSQL', medians.postgres),
      perSecond('SDK in memory', medians.memory),
      perSecond('graphile-worker, jobs of nothing', medians.engine),
      ratio('of the SDK with PostgreSQL', medians.longhaul / medians.postgres, 15),
    ];
  });

/** Tasks with empty durable steps, compared with workflows of an engine without a server in front. */
export const stepsCase: BenchCase = () =>
  withRig(async (rig) => {
    const [api, , dbos] = await Promise.all([
      rig.service('api'),
      rig.service('worker', { WORKER_CONCURRENCY: '300' }),
      rig.peer('dbos', { DATABASE_URL: await rig.createEmptyDatabase() }),
    ]);
    const workflows = async (count: number) =>
      (await dbos.ask<{ perSecond: number }>({ count, steps: stepsEach, atOnce: 500 })).perSecond;
    const tasks = (count: number) => runWholeTasks(rig, api.url, count, `steps ${stepsEach}`);
    await tasks(10_000);
    await workflows(2_000);
    const medians = await alternate({ longhaul: () => tasks(3_000), dbos: () => workflows(1_000) }, rounds);
    return [
      perSecond(`Longhaul, tasks of ${stepsEach} steps`, medians.longhaul),
      perSecond(`DBOS, workflows of ${stepsEach} steps`, medians.dbos),
      perSecond('Longhaul, steps', medians.longhaul * stepsEach),
      perSecond('DBOS, steps', medians.dbos * stepsEach),
    ];
  });

/**
 * Sends `count` tasks and waits until none is left to run.
 *
 * @param text the instruction for the agent
 * @returns tasks per second, measured from the first request
 */
export function runWholeTasks(rig: Rig, url: string, count: number, text = ''): Promise<number> {
  return runJobToEnd(rig, createSendJob(url, text, { returnImmediately: true }, { count }), count);
}

/** Like `runWholeTasks`, for a job that sends `count` tasks. */
export async function runJobToEnd(rig: Rig, job: Job, count: number): Promise<number> {
  const from = performance.now();
  await rig.load(job);
  await waitFor(
    'the end of all tasks',
    async () => {
      const { rows } = await rig.stack.pool.query('select from gates where state_class = 0 limit 1');
      return rows.length === 0;
    },
    polling,
  );
  return (count * 1000) / (performance.now() - from);
}
