/** Reads: a task, an unchanged task, and lists of few and of very many tasks. */
import type { Pool } from 'pg';
import { createCallJob, createReadJob, createSendJob } from '../jobs.ts';
import { migrateSdk, withRig } from '../rig.ts';
import { alternate, ms, perSecond, ratio, rounds, warmUpSeconds, type BenchCase } from '../rounds.ts';

export const getTaskCase: BenchCase = () =>
  withRig(async (rig) => {
    const sdkDatabase = await rig.createEmptyDatabase();
    await migrateSdk(sdkDatabase);
    const [api, memory, postgres] = await Promise.all([
      rig.service('api'),
      rig.peer('sdk', {}),
      rig.peer('sdk', { DATABASE_URL: sdkDatabase }),
    ]);
    const createTasks = async (url: string) =>
      (
        await rig.load(
          createSendJob(url, 'accept', { returnImmediately: true }, { count: 1000, keepIds: true }),
        )
      ).ids;
    const read = async (url: string, tasks: string[], seconds = 2) =>
      (await rig.load(createCallJob(url, 'GetTask', { id: '%TASK%' }, { tasks, seconds }))).perSecond;
    const ids = {
      api: await createTasks(api.url),
      memory: await createTasks(memory.url),
      postgres: await createTasks(postgres.url),
    };
    await read(api.url, ids.api, warmUpSeconds);
    await read(memory.url, ids.memory, warmUpSeconds);
    await read(postgres.url, ids.postgres, warmUpSeconds);
    const medians = await alternate(
      {
        longhaul: () => read(api.url, ids.api),
        conditional: async () => (await rig.load(createReadJob(api.url, ids.api, { seconds: 2 }))).perSecond,
        memory: () => read(memory.url, ids.memory),
        postgres: () => read(postgres.url, ids.postgres),
      },
      rounds,
    );
    return [
      perSecond('Longhaul', medians.longhaul),
      perSecond('Longhaul, not modified', medians.conditional),
      perSecond('SDK with PostgreSQL', medians.postgres),
      perSecond('SDK in memory', medians.memory),
      ratio('of the SDK with PostgreSQL', medians.longhaul / medians.postgres, 8),
    ];
  });

/** Stores completed tasks of the anonymous owner. */
export async function fillTasks(pool: Pool, tenant: string, count: number): Promise<void> {
  await pool.query(
    `with made as (
       insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown)
       select uuidv, $1, 'anonymous', uuidv::text, 'none', 'TASK_STATE_COMPLETED',
         now() - n * interval '1 second', true
       from (select gen_random_uuid() as uuidv, n from generate_series(1, $2::int) n) one
       returning id
     )
     insert into gates (task_id, last_event, state_class, wakeup_at, settled_at) select id, 1, 2, now(), now() from made`,
    [tenant, count],
  );
  await pool.query('analyze tasks');
  await pool.query('analyze gates');
}

export const listTasksCase: BenchCase = () =>
  withRig(async (rig) => {
    const { pool } = rig.stack;
    await fillTasks(pool, 'few', 1_000);
    await fillTasks(pool, 'many', 1_000_000);
    const api = await rig.service('api');
    const page = async (tenant: string) =>
      (
        await rig.load(
          createCallJob(api.url, 'ListTasks', { tenant, pageSize: 50 }, { connections: 1, seconds: 1 }),
        )
      ).latencies.p50;
    await page('few');
    await page('many');
    const medians = await alternate({ few: () => page('few'), many: () => page('many') }, 5);
    return [
      ms('page of 50 of a thousand, p50', medians.few),
      ms('page of 50 of a million, p50', medians.many),
      {
        name: 'the slower of the two against the other',
        value: Math.max(medians.many, medians.few) / Math.min(medians.many, medians.few),
        unit: '×',
        target: { at: 'most', value: 1.3 },
      },
    ];
  });
