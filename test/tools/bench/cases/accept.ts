/** SendMessage with `returnImmediately`: tasks that are accepted, and therefore stored, per second. */
import { createSendJob, type RequestJob } from '../jobs.ts';
import { migrateSdk, withRig } from '../rig.ts';
import { alternate, ms, perSecond, ratio, rounds, warmUpSeconds, type BenchCase } from '../rounds.ts';

export const acceptCase: BenchCase = () =>
  withRig(async (rig) => {
    const sdkDatabase = await rig.createEmptyDatabase();
    await migrateSdk(sdkDatabase);
    const [api, memory, postgres, floor] = await Promise.all([
      rig.service('api'),
      rig.peer('sdk', {}),
      rig.peer('sdk', { DATABASE_URL: sdkDatabase }),
      rig.peer('floor', { DATABASE_URL: rig.stack.databaseUrl }),
    ]);
    const measure = async (url: string, more: Partial<RequestJob> = {}) =>
      (await rig.load(createSendJob(url, 'accept', { returnImmediately: true }, more))).perSecond;
    for (const { url } of [api, memory, postgres]) await measure(url, { seconds: warmUpSeconds });
    const medians = await alternate(
      {
        longhaul: () => measure(api.url),
        memory: () => measure(memory.url),
        postgres: () => measure(postgres.url),
        floor: async () => (await floor.ask<{ perSecond: number }>({ seconds: 2, lanes: 2 })).perSecond,
      },
      rounds,
    );
    const fewer = await measure(api.url, { connections: 64 });
    const idle = await rig.load(
      createSendJob(api.url, '', { returnImmediately: true }, { connections: 1, seconds: 1 }),
    );
    return [
      perSecond('Longhaul', medians.longhaul),
      perSecond('SDK in memory', medians.memory),
      perSecond('SDK with PostgreSQL', medians.postgres),
      perSecond('floor', medians.floor),
      perSecond('Longhaul, 64 connections', fewer),
      ratio('of the SDK with PostgreSQL', medians.longhaul / medians.postgres, 20),
      ratio('of the SDK in memory', medians.longhaul / medians.memory, 2.5),
      ratio('of the floor', medians.longhaul / medians.floor, 0.6),
      ms('latency idle, p50', idle.latencies.p50),
      ms('latency idle, p99', idle.latencies.p99),
    ];
  });
