/** SendMessage with `returnImmediately`: how many tasks a second are accepted, which here means stored. */
import { sends, type Requests } from '../jobs.ts';
import { migrateSdk, withRig } from '../rig.ts';
import { alternate, ms, perSecond, ratio, rounds, warmUpSeconds, type Case } from '../rounds.ts';

export const accept: Case = () =>
  withRig(async (rig) => {
    const sdkDatabase = await rig.emptyDatabase();
    await migrateSdk(sdkDatabase);
    const [api, memory, postgres, floor] = await Promise.all([
      rig.service('api'),
      rig.peer('sdk', {}),
      rig.peer('sdk', { DATABASE_URL: sdkDatabase }),
      rig.peer('floor', { DATABASE_URL: rig.stack.databaseUrl }),
    ]);
    const measure = async (url: string, more: Partial<Requests> = {}) =>
      (await rig.load(sends(url, 'accept', { returnImmediately: true }, more))).perSecond;
    for (const { url } of [api, memory, postgres]) await measure(url, { seconds: warmUpSeconds });
    const seen = await alternate(
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
      sends(api.url, '', { returnImmediately: true }, { connections: 1, seconds: 1 }),
    );
    return [
      perSecond('Longhaul', seen.longhaul),
      perSecond('SDK in memory', seen.memory),
      perSecond('SDK with PostgreSQL', seen.postgres),
      perSecond('floor', seen.floor),
      perSecond('Longhaul, 64 connections', fewer),
      ratio('of the SDK with PostgreSQL', seen.longhaul / seen.postgres, 20),
      ratio('of the SDK in memory', seen.longhaul / seen.memory, 2.5),
      ratio('of the floor', seen.longhaul / seen.floor, 0.6),
      ms('latency idle, p50', idle.latencies.p50),
      ms('latency idle, p99', idle.latencies.p99),
    ];
  });
