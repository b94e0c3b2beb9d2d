/** MCP next to JSON-RPC: tasks that are accepted per second, and what polls of many tasks cost. */
import { createCallJob, createMcpJob, createSendJob } from '../jobs.ts';
import { withRig, type Rig } from '../rig.ts';
import {
  alternate,
  perSecond,
  ratio,
  rounds,
  warmUpSeconds,
  type BenchCase,
  type Figure,
} from '../rounds.ts';
import { readUsage } from './costs.ts';

/** BENCH_MCP_TASKS tries the case with fewer tasks; such figures are not published. */
const polled = Number(process.env['BENCH_MCP_TASKS'] ?? 10_000);
/** The interval that is advertised for tasks of one to ten minutes. */
const pollSeconds = 5;

export const mcpCase: BenchCase = () =>
  withRig(async (rig) => {
    const api = await rig.service('api');
    const list = await fetch(`${api.url}/mcp`, createMcpRequest('tools/list', {}));
    const { result } = (await list.json()) as { result: { tools: { name: string }[] } };
    const skill = result.tools[0]?.name ?? '';
    const accept = async (seconds = 2) => {
      const params = { name: skill, arguments: { text: 'accept' } };
      return (await rig.load(createMcpJob(api.url, 'tools/call', params, { seconds }))).perSecond;
    };
    const send = async (seconds = 2) =>
      (await rig.load(createSendJob(api.url, 'accept', { returnImmediately: true }, { seconds }))).perSecond;
    await accept(warmUpSeconds);
    await send(warmUpSeconds);
    const medians = await alternate({ mcp: () => accept(), rpc: () => send() }, rounds);
    return [
      perSecond('accepted over MCP', medians.mcp),
      perSecond('accepted over JSON-RPC', medians.rpc),
      ratio('of JSON-RPC', medians.mcp / medians.rpc, 0.8),
      ...(await measurePolls(rig, api)),
    ];
  });

/** Polls each task once, and derives the load at the advertised interval from what a poll costs. */
async function measurePolls(rig: Rig, api: Awaited<ReturnType<Rig['service']>>): Promise<Figure[]> {
  const job = createSendJob(api.url, 'accept', { returnImmediately: true }, { count: polled, keepIds: true });
  const { ids } = await rig.load(job);
  const poll = (count: number) =>
    rig.load(
      createMcpJob(api.url, 'tasks/get', { taskId: '%TASK%' }, { tasks: ids, count, connections: 50 }),
    );
  await poll(polled);
  const [usage, statements] = [await readUsage(api), await countStatements(rig)];
  await poll(polled);
  const [usageAfter, statementsAfter] = [await readUsage(api), await countStatements(rig)];
  const cpuMs = (usageAfter.cpuMs - usage.cpuMs) / polled;
  const perSecondPolled = polled / pollSeconds;
  const rpc = async () => {
    const before = await readUsage(api);
    const more = { tasks: ids, count: polled, connections: 50 };
    await rig.load(createCallJob(api.url, 'GetTask', { id: '%TASK%', historyLength: 0 }, more));
    return ((await readUsage(api)).cpuMs - before.cpuMs) / polled;
  };
  return [
    { name: 'a poll over MCP, CPU time of the api', value: cpuMs, unit: 'ms' },
    { name: 'a poll over JSON-RPC, CPU time of the api', value: await rpc(), unit: 'ms' },
    {
      name: `${polled} tasks polled every ${pollSeconds} s, of a core of the api`,
      value: (cpuMs * perSecondPolled) / 10,
      unit: '% of a core',
    },
    {
      name: `${polled} tasks polled every ${pollSeconds} s, transactions`,
      value: ((statementsAfter - statements) / polled) * perSecondPolled,
      unit: '/s',
    },
  ];
}

/** Counts transactions: a read is one, and reads that come together share one. */
async function countStatements({ stack: { pool } }: Rig): Promise<number> {
  await pool.query('select pg_stat_force_next_flush()');
  const { rows } = await pool.query<{ count: string }>(
    'select xact_commit as count from pg_stat_database where datname = current_database()',
  );
  return Number(rows[0]?.count);
}

function createMcpRequest(method: string, params: Record<string, unknown>): RequestInit {
  const { headers, body } = createMcpJob('', method, params, {});
  return { method: 'POST', headers, body: body ?? null };
}
