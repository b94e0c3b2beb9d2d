/** Reading: a task, a task that has not changed, and lists of few and of very many tasks. */
import { calls, reads, sends } from '../jobs.ts';
import { migrateSdk, withRig } from '../rig.ts';
import { alternate, ms, perSecond, ratio, rounds, warmUpSeconds, type Case } from '../rounds.ts';

export const getTask: Case = () =>
  withRig(async (rig) => {
    const sdkDatabase = await rig.emptyDatabase();
    await migrateSdk(sdkDatabase);
    const [api, memory, postgres] = await Promise.all([
      rig.service('api'),
      rig.peer('sdk', {}),
      rig.peer('sdk', { DATABASE_URL: sdkDatabase }),
    ]);
    const made = async (url: string) =>
      (await rig.load(sends(url, 'accept', { returnImmediately: true }, { count: 1000, keepIds: true }))).ids;
    const read = async (url: string, tasks: string[], seconds = 2) =>
      (await rig.load(calls(url, 'GetTask', { id: '%TASK%' }, { tasks, seconds }))).perSecond;
    const ids = {
      api: await made(api.url),
      memory: await made(memory.url),
      postgres: await made(postgres.url),
    };
    await read(api.url, ids.api, warmUpSeconds);
    await read(memory.url, ids.memory, warmUpSeconds);
    await read(postgres.url, ids.postgres, warmUpSeconds);
    const seen = await alternate(
      {
        longhaul: () => read(api.url, ids.api),
        conditional: async () => (await rig.load(reads(api.url, ids.api, { seconds: 2 }))).perSecond,
        memory: () => read(memory.url, ids.memory),
        postgres: () => read(postgres.url, ids.postgres),
      },
      rounds,
    );
    return [
      perSecond('Longhaul', seen.longhaul),
      perSecond('Longhaul, not modified', seen.conditional),
      perSecond('SDK with PostgreSQL', seen.postgres),
      perSecond('SDK in memory', seen.memory),
      ratio('of the SDK with PostgreSQL', seen.longhaul / seen.postgres, 8),
    ];
  });

export const listTasks: Case = () =>
  withRig(async (rig) => {
    const { pool } = rig.stack;
    const fill = async (tenant: string, count: number) => {
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
    };
    await fill('few', 1_000);
    await fill('many', 1_000_000);
    await pool.query('analyze tasks');
    await pool.query('analyze gates');
    const api = await rig.service('api');
    const page = async (tenant: string) =>
      (await rig.load(calls(api.url, 'ListTasks', { tenant, pageSize: 50 }, { connections: 1, seconds: 1 })))
        .latencies.p50;
    await page('few');
    await page('many');
    const seen = await alternate({ few: () => page('few'), many: () => page('many') }, 5);
    return [
      ms('page of 50 of a thousand, p50', seen.few),
      ms('page of 50 of a million, p50', seen.many),
      {
        name: 'the slower of the two against the other',
        value: Math.max(seen.many, seen.few) / Math.min(seen.many, seen.few),
        unit: '×',
        target: { at: 'most', value: 1.3 },
      },
    ];
  });
