/** Figures that callers see: measured through the services, on both sides. */
import {
  createCallJob,
  createGetJob,
  createReadJob,
  createSendJob,
  createStreamJob,
  createWebhookJob,
} from '../../jobs.ts';
import { runJobToEnd } from '../whole.ts';
import type { Measurement } from './compare.ts';
import { largeOwner, longContext, smallOwner } from './preload/seed.ts';
import { createHeaders, type Side } from './sides.ts';

const headers = createHeaders(largeOwner);
const immediately = { returnImmediately: true };
const accepted = 6_000;
/** Tasks of a measurement. */
export const wholeTasks = 4_000;
const reads = { seconds: 1 };

/** Sends tasks that no worker runs yet. */
export const accepts: Measurement = {
  name: 'accept',
  unit: '/s',
  measure: async ({ rig, apiUrl }) =>
    (await rig.load(createSendJob(apiUrl, '', immediately, { headers, count: accepted }))).perSecond,
};

export const calls: readonly Measurement[] = [
  { name: 'whole task', unit: '/s', measure: ({ rig, apiUrl }) => runToEnd(rig, apiUrl, undefined) },
  {
    name: 'whole task in the longest context',
    unit: '/s',
    measure: ({ rig, apiUrl }) => runToEnd(rig, apiUrl, longContext),
  },
  {
    name: 'GetTask of the newest tasks',
    unit: '/s',
    measure: async (side) => read(side, await getTaskIds(side, 'newest')),
  },
  {
    name: 'GetTask of any tasks, each once',
    unit: '/s',
    measure: async (side) => read(side, await getTaskIds(side, 'any')),
    isHot: false,
  },
  {
    name: 'GetTask, not modified',
    unit: '/s',
    measure: async (side) => {
      const tasks = await getTaskIds(side, 'newest');
      const conditional = { ...headers, 'if-none-match': '*' };
      return (await side.rig.load(createReadJob(side.apiUrl, tasks, { ...reads, headers: conditional })))
        .perSecond;
    },
  },
  list('of an owner with a hundred', {}, smallOwner),
  list('of the largest owner', {}),
  list('of the largest owner, by state', { status: 'TASK_STATE_FAILED' }),
  list('of the largest owner, by a state that no task has', { status: 'TASK_STATE_INPUT_REQUIRED' }),
  list('of the longest context', { contextId: longContext }),
  list('of the last day', () => ({ statusTimestampAfter: new Date(Date.now() - 86_400_000).toISOString() })),
  get('search for an error that no task has', '/a2a/v1/search?error=no+such+text'),
  get('stats', '/a2a/v1/stats'),
  get('timeline of the newest tasks', '/a2a/v1/tasks/%TASK%/timeline'),
  {
    name: 'stream of a whole task, p50',
    unit: 'ms',
    measure: async ({ rig, apiUrl }) =>
      (await rig.load(createStreamJob(apiUrl, '', { headers, count: 100 }))).latencies.p50,
  },
  {
    name: 'event to its stream, p50',
    unit: 'ms',
    measure: async ({ rig, apiUrl }) =>
      (await rig.load(createStreamJob(apiUrl, 'ticks 50', { headers, count: 2, events: true }))).latencies
        .p50,
  },
  {
    name: 'webhooks',
    unit: '/s',
    measure: async ({ rig, apiUrl }) =>
      (await rig.load(createWebhookJob(apiUrl, { headers, count: 300, connections: 32 }))).perSecond,
  },
];

function runToEnd(rig: Side['rig'], url: string, contextId: string | undefined): Promise<number> {
  const message = { messageId: '%NEW%', role: 'ROLE_USER', parts: [{ text: '' }], contextId };
  const job = createCallJob(
    url,
    'SendMessage',
    { message, configuration: immediately },
    { headers, count: wholeTasks },
  );
  return runJobToEnd(rig, job, wholeTasks);
}

async function read({ rig, apiUrl }: Side, tasks: string[]): Promise<number> {
  const job = createCallJob(apiUrl, 'GetTask', { id: '%TASK%' }, { headers, tasks, count: tasks.length });
  return (await rig.load(job)).perSecond;
}

/** `any`: others each time, so that no cache has them. */
async function getTaskIds({ pool }: Side, which: 'newest' | 'any'): Promise<string[]> {
  const newest = `select id from tasks where owner = $1 and tenant = '' and state = 'TASK_STATE_COMPLETED'
    order by status_at desc limit 1000`;
  // Ids are ordered by time.
  const any = `with start as materialized (
      select preload.uuid_at(now() - random() * interval '79 days', n::text) as id from generate_series(1, 1000) n
    )
    select found.id from start cross join lateral (
      select id from tasks where id > start.id and (owner = $1) is true order by id limit 1
    ) found`;
  const { rows } = await pool.query<{ id: string }>(which === 'newest' ? newest : any, [largeOwner]);
  const ids = rows.map(({ id }) => id);
  return which === 'newest' ? [...ids, ...ids, ...ids, ...ids, ...ids] : ids;
}

function list(which: string, params: object | (() => object), owner = largeOwner): Measurement {
  return {
    name: `page of 50 ${which}, p50`,
    unit: 'ms',
    measure: async ({ rig, apiUrl }) => {
      const filter = typeof params === 'function' ? params() : params;
      const job = createCallJob(
        apiUrl,
        'ListTasks',
        { pageSize: 50, ...filter },
        { ...reads, headers: createHeaders(owner), connections: 1 },
      );
      return (await rig.load(job)).latencies.p50;
    },
  };
}

function get(name: string, path: string): Measurement {
  return {
    name: `${name}, p50`,
    unit: 'ms',
    measure: async (side) => {
      const tasks = path.includes('%TASK%') ? await getTaskIds(side, 'newest') : [];
      return (await side.rig.load(createGetJob(side.apiUrl, path, { ...reads, headers, tasks }))).latencies
        .p50;
    },
  };
}
