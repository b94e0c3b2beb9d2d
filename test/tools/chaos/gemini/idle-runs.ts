/** Many calls in the background at once, with one worker of ten slots: slots, statements and connections while they run. */
import { setTimeout as sleep } from 'node:timers/promises';
import { writeAgentFile } from '../../../support/agents/definition.ts';
import type { Cleanup } from '../../../support/cleanup.ts';
import { startStack, type Stack } from '../../../support/stack.ts';
import { waitFor } from '../../../support/wait-for.ts';
import type { PartOptions, PartResult } from './part.ts';

const slots = 10;
const sampleSeconds = 20;
/** PostgreSQL counts the transactions of a connection up to ten seconds late. */
const settleSeconds = 12;
const boundMs = 900_000;
const closeMs = 180_000;
/** Transactions a second that all calls together may cost while they run. */
const maxCost = 5;

export async function measureIdleRuns(cleanup: Cleanup, { count }: PartOptions): Promise<PartResult> {
  const model = { name: 'deep-research-preview-04-2026' };
  const agentFile = writeAgentFile(cleanup, { model, tools: [] });
  // The default interval: the short one of tests would cost more than the calls.
  const stack = await startStack(cleanup, { AGENT_FILE: agentFile, RECONCILE_SECONDS: '2' });
  await stack.start('api', { GEMINI_WEBHOOK_JWKS_URL: `${stack.model.url}/.well-known/jwks.json` });
  await stack.start('worker', { WORKER_CONCURRENCY: String(slots), WORKER_OWNER_SHARE: '1' });
  const idle = await sample(stack);
  // They end after the measurement.
  const research = { delayMs: 3_600_000, chunks: ['the report'] };
  stack.model.script([{ match: 'research', reactions: [research], repeat: true }]);
  for (let submitted = 0; submitted < count; submitted += slots) {
    const batch = Math.min(slots, count - submitted);
    await Promise.all(Array.from({ length: batch }, () => stack.submit('research')));
  }
  const countRows = async (query: string): Promise<number> =>
    Number((await stack.pool.query<{ count: string }>(query)).rows[0]?.count);
  const readWaiting = () =>
    countRows(`select count(*) from gates where worker is null and state_class = 0 and run_at > now()`);
  const readHeld = () => countRows(`select count(*) from gates where worker is not null`);
  await waitFor('all calls', () => stack.model.interactions.list().length === count, { boundMs });
  await waitFor('no held slot', async () => (await readHeld()) === 0, { boundMs });
  const waiting = await readWaiting();
  const { connections: atStart } = await readCounts(stack);
  // The pools close connections that they have not used for a minute.
  const areClosed = async () => (await readCounts(stack)).connections <= idle.connections;
  await waitFor('the end of the connections of the start', areClosed, { boundMs: closeMs }).catch(() => {});
  let running = await sample(stack);
  // On a busy machine, those of the start are counted even later. Those of calls that run do not end.
  if (running.transactions > idle.transactions + maxCost) running = await sample(stack);
  const heldDuring = await readHeld();
  stack.model.interactions.endAll();
  const readOpen = () => countRows(`select count(*) from tasks where state <> 'TASK_STATE_COMPLETED'`);
  await waitFor('all reports', async () => (await readOpen()) === 0, { boundMs });
  const made = stack.model.interactions.list().length;
  const counted = await countRows('select coalesce(sum(calls), 0) as count from ledger');
  return {
    figures: {
      'suspended at once': waiting,
      'slots held after the measurement': heldDuring,
      'transactions a second, idle': idle.transactions.toFixed(1),
      'transactions a second, with all calls running': running.transactions.toFixed(1),
      'connections, idle': idle.connections,
      'connections, when all calls were made': atStart,
      'connections, with all calls running': running.connections,
      'interactions created': made,
      'calls in the ledger': counted,
    },
    violations: [
      ...(made === count && counted === count
        ? []
        : [`${made} interactions, ${counted} calls in the ledger`]),
      ...(heldDuring === 0 ? [] : [`${heldDuring} slots held`]),
      ...(running.transactions <= idle.transactions + maxCost
        ? []
        : [`${running.transactions - idle.transactions} transactions a second for calls that run`]),
      ...(running.connections <= idle.connections
        ? []
        : [`${running.connections - idle.connections} connections more than when idle`]),
    ],
  };
}

interface Counts {
  transactions: number;
  connections: number;
}

async function readCounts({ pool }: Stack): Promise<Counts> {
  await pool.query('select pg_stat_clear_snapshot()');
  const { rows } = await pool.query<{ transactions: string; connections: number }>(
    `select xact_commit + xact_rollback as transactions,
       (select count(*)::int from pg_stat_activity where application_name like 'longhaul-%'
          and datname = current_database()) as connections
     from pg_stat_database where datname = current_database()`,
  );
  return { transactions: Number(rows[0]?.transactions), connections: rows[0]?.connections ?? 0 };
}

/** Transactions a second of the database, and the connections of the services. */
async function sample(stack: Stack): Promise<Counts> {
  await sleep(settleSeconds * 1000);
  const before = await readCounts(stack);
  await sleep(sampleSeconds * 1000);
  const after = await readCounts(stack);
  return {
    transactions: (after.transactions - before.transactions) / sampleSeconds,
    connections: after.connections,
  };
}
