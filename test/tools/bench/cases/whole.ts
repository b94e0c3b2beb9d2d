/** A whole task with an agent that does nothing, from the request through Pub/Sub and a worker to completed. */
import { sends, streamsOf } from '../jobs.ts';
import { migrateSdk, withRig, type Rig } from '../rig.ts';
import { alternate, ms, perSecond, ratio, rounds, until, warmUpSeconds, type Case } from '../rounds.ts';

const jobs = 10_000;
const stepsEach = 5;

export const whole: Case = () =>
  withRig(async (rig) => {
    const [sdkDatabase, jobDatabase] = [await rig.emptyDatabase(), await rig.emptyDatabase()];
    await migrateSdk(sdkDatabase);
    const [api, , memory, postgres] = await Promise.all([
      rig.service('api'),
      // What such turns wait for is the database alone, and more of them at once make larger sets.
      rig.service('worker', { WORKER_CONCURRENCY: '300' }),
      rig.peer('sdk', {}),
      rig.peer('sdk', { DATABASE_URL: sdkDatabase }),
    ]);
    const engine = async () => {
      const one = await rig.peer('graphile', { DATABASE_URL: jobDatabase });
      const { perSecond } = await one.ask<{ perSecond: number }>({ jobs });
      await one.kill();
      return perSecond;
    };
    const blocking = async (url: string, seconds = 2) =>
      (await rig.load(sends(url, 'whole', {}, { seconds }))).perSecond;
    await wholeTasks(rig, api.url, 30_000); // about as long as the others
    await blocking(memory.url, warmUpSeconds);
    await blocking(postgres.url, warmUpSeconds);
    const seen = await alternate(
      {
        longhaul: () => wholeTasks(rig, api.url, 10_000),
        memory: () => blocking(memory.url),
        postgres: () => blocking(postgres.url),
        engine,
      },
      rounds,
    );
    return [
      perSecond('Longhaul', seen.longhaul),
      perSecond('SDK with PostgreSQL', seen.postgres),
      perSecond('SDK in memory', seen.memory),
      perSecond('graphile-worker, jobs of nothing', seen.engine),
      ratio('of the SDK with PostgreSQL', seen.longhaul / seen.postgres, 15),
    ];
  });

/** Whole tasks whose turn takes durable steps that do nothing, beside workflows of an engine that has no front door. */
export const steps: Case = () =>
  withRig(async (rig) => {
    const [api, , dbos] = await Promise.all([
      rig.service('api'),
      rig.service('worker', { WORKER_CONCURRENCY: '300' }),
      rig.peer('dbos', { DATABASE_URL: await rig.emptyDatabase() }),
    ]);
    const workflows = async (count: number) =>
      (await dbos.ask<{ perSecond: number }>({ count, steps: stepsEach, atOnce: 500 })).perSecond;
    const tasks = (count: number) => wholeTasks(rig, api.url, count, `steps ${stepsEach}`);
    await tasks(10_000);
    await workflows(2_000);
    const seen = await alternate({ longhaul: () => tasks(3_000), dbos: () => workflows(1_000) }, rounds);
    return [
      perSecond(`Longhaul, tasks of ${stepsEach} steps`, seen.longhaul),
      perSecond(`DBOS, workflows of ${stepsEach} steps`, seen.dbos),
      perSecond('Longhaul, steps', seen.longhaul * stepsEach),
      perSecond('DBOS, steps', seen.dbos * stepsEach),
    ];
  });

/**
 * Sends so many tasks and waits until none is left to run.
 *
 * @param text what the agent is to do
 * @returns tasks a second, from the first request on
 */
export async function wholeTasks(rig: Rig, url: string, count: number, text = ''): Promise<number> {
  const from = performance.now();
  await rig.load(sends(url, text, { returnImmediately: true }, { count }));
  await until(async () => {
    const { rows } = await rig.stack.pool.query('select from gates where state_class = 0 limit 1');
    return rows.length === 0;
  });
  return (count * 1000) / (performance.now() - from);
}

/** One task at a time, as a stream: from the request to the completed event, which a worker has written. */
export const latency: Case = () =>
  withRig(async (rig) => {
    const [api] = await Promise.all([rig.service('api'), rig.service('worker')]);
    await rig.load(streamsOf(api.url, '', { count: 100 }));
    const { latencies } = await rig.load(streamsOf(api.url, '', { count: 500 }));
    return [ms('whole task, p50', latencies.p50, 12), ms('whole task, p99', latencies.p99, 40)];
  });

/** From a worker's write to a subscriber of the front door: the agent writes the time, and the load compares it. */
export const events: Case = () =>
  withRig(async (rig) => {
    const [api] = await Promise.all([rig.service('api'), rig.service('worker')]);
    const measure = (connections: number, ticks: number) =>
      rig.load(streamsOf(api.url, `ticks ${ticks}`, { connections, count: connections, events: true }));
    await measure(4, 50);
    const { latencies } = await measure(1, 200);
    const many = await measure(20, 100);
    return [
      ms('one stream, p50', latencies.p50, 5),
      ms('one stream, p99', latencies.p99, 30),
      ms('20 streams of 50 events a second, p50', many.latencies.p50),
      ms('20 streams of 50 events a second, p99', many.latencies.p99),
    ];
  });
