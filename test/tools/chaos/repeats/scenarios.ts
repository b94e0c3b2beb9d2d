/** Faults in which no process dies: no step may run again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { postJsonRpc } from '../../../support/clients/json-rpc.ts';
import { freePort } from '../../../support/network/ports.ts';
import { waitFor } from '../../../support/wait-for.ts';
import type { World } from './world.ts';

export interface Scenario {
  tasks: number;
  steps: number;
  stepSeconds: number;
  faultSeconds: number;
  /** Default: 30. */
  leaseSeconds?: number;
  /** Tasks are sent one after the other, this long apart, with a webhook and a follow-up each. Default: all at once. */
  pauseSeconds?: number;
  /**
   * Causes the fault for so many seconds and ends it.
   *
   * @returns what else was measured
   */
  cause(world: World, seconds: number, taskIds: readonly string[]): Promise<string | void>;
  /** Measures more when all is done. */
  measure?(world: World): Promise<string>;
}

const database = { tasks: 20, steps: 3, stepSeconds: 10, faultSeconds: 30 };

export const scenarios: Record<string, Scenario> = {
  'too many clients': {
    ...database,
    cause: ({ proxy }, seconds) => during(seconds, (on) => proxy.setFull(on)),
  },
  'read-only': { ...database, cause: makeReadOnly },
  "an intruder's lock": { ...database, cause: lockTables },
  'database away': {
    ...database,
    tasks: 31,
    faultSeconds: 100,
    cause: ({ proxy }, seconds) => during(seconds, (on) => proxy.setDown(on)),
    measure: countWarnings,
  },
  'database unreachable': {
    ...database,
    tasks: 10,
    steps: 2,
    stepSeconds: 20,
    faultSeconds: 45,
    cause: ({ proxy }, seconds) =>
      during(seconds, (on) => {
        proxy.setMute(on);
        if (on) proxy.silence();
      }),
  },
  'api stopped in a follow-up': {
    tasks: 40,
    steps: 1,
    stepSeconds: 75,
    faultSeconds: 120,
    cause: stopApi,
  },
  'api stopped next to quick tasks': {
    tasks: 110,
    steps: 1,
    stepSeconds: 1.5,
    faultSeconds: 60,
    pauseSeconds: 0.4,
    cause: async (world, seconds, taskIds) => {
      await waitFor('a task', () => taskIds.length > 0);
      return stopApi(world, seconds, taskIds.slice(-1));
    },
    measure: async (world) =>
      `${countLostTurns(world)} turns lost, with the canceled one; ${await measureWebhooks(world)}`,
  },
  'ten connections silent in transactions': {
    tasks: 110,
    steps: 1,
    stepSeconds: 1.5,
    faultSeconds: 30,
    pauseSeconds: 0.2,
    cause: silenceTransactions,
    measure: measureWebhooks,
  },
};

async function during(seconds: number, set: (on: boolean) => void): Promise<void> {
  set(true);
  await sleep(seconds * 1000);
  set(false);
}

/** All sessions of the services are read-only, as on a server that was demoted from primary. */
async function makeReadOnly({ stack }: World, seconds: number): Promise<void> {
  const { pool } = stack;
  const name = new URL(stack.databaseUrl).pathname.slice(1);
  const set = async (value: string): Promise<void> => {
    await pool.query(`alter database ${name} set default_transaction_read_only = ${value}`);
    await endSessions(stack);
  };
  await set('on');
  await sleep(seconds * 1000);
  const client = await pool.connect();
  await client.query('set default_transaction_read_only = off');
  await client.query(`alter database ${name} reset default_transaction_read_only`);
  client.release();
  await endSessions(stack);
}

export async function endSessions({ pool }: World['stack']): Promise<void> {
  await pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name like 'longhaul-%'`,
  );
}

async function lockTables({ stack }: World, seconds: number): Promise<void> {
  const intruder = await stack.pool.connect();
  await intruder.query('begin');
  await intruder.query('lock table gates, steps in access exclusive mode');
  await sleep(seconds * 1000);
  await intruder.query('commit');
  intruder.release();
}

/** Stops an api process while it holds the gate of a task, if it ever waits for the database with a lock. */
async function stopApi(world: World, seconds: number, taskIds: readonly string[]): Promise<string> {
  const [taskId = ''] = taskIds;
  const { api, proxy } = await world.startApi(await freePort());
  const silent = proxy.silenceInTransaction(1);
  const message = {
    messageId: crypto.randomUUID(),
    taskId,
    role: 'ROLE_USER',
    parts: [{ text: 'say more' }],
  };
  const params = { message, configuration: { returnImmediately: true } };
  const sent = postJsonRpc(api.url, 'SendMessage', params, { signal: AbortSignal.timeout(seconds * 1000) });
  await Promise.race([silent, sent.catch(() => undefined)]);
  api.running.child.kill('SIGSTOP');
  const startedAt = performance.now();
  await world.stack.rpc('CancelTask', { id: taskId });
  const ms = Math.round(performance.now() - startedAt);
  await sleep(seconds * 1000);
  await api.kill();
  return `cancelled after ${ms} ms`;
}

/**
 * Makes ten connections silent, each in a transaction that waits for the client. Where a transaction is one round trip,
 * no answer leaves one open: then the rest go silent in place of any answer.
 */
async function silenceTransactions({ proxy }: World, seconds: number): Promise<string> {
  const counts = { inTransaction: 0, atAnswer: 0 };
  const silence = async (kind: keyof typeof counts, step: () => Promise<void>): Promise<void> => {
    const end = sleep((seconds * 1000) / 2).then(() => false);
    while (counts.inTransaction + counts.atAnswer < 10) {
      if (!(await Promise.race([step().then(() => true), end]))) return;
      counts[kind] += 1;
    }
  };
  await silence('inTransaction', () => proxy.silenceInTransaction(5));
  await silence('atAnswer', () => proxy.silenceAtAnswer(5));
  return `${counts.inTransaction} connections went silent in a transaction, ${counts.atAnswer} at another answer`;
}

/** The most lines that one process logs about an outage. */
async function countWarnings({ workers, others }: World): Promise<string> {
  const counts = [...workers.map(({ service }) => service), ...others].map(
    ({ running }) => running.output().match(/"severity":"(?:WARNING|ERROR|CRITICAL)"/g)?.length ?? 0,
  );
  return `at most ${Math.max(...counts)} warnings of one process`;
}

function countLostTurns({ workers }: World): number {
  return workers.reduce(
    (sum, { service }) => sum + (service.running.output().match(/"message":"turn lost"/g)?.length ?? 0),
    0,
  );
}

async function measureWebhooks({ stack }: World): Promise<string> {
  const { rows } = await stack.pool.query<{ late: number; longest: number }>(
    `select count(*) filter (where seconds > 10)::int as late, round(max(seconds)::numeric, 1)::float8 as longest
     from (select extract(epoch from settled_at - created_at) as seconds from deliveries) delivery`,
  );
  return `webhooks after more than 10 s: ${rows[0]?.late}, the latest after ${rows[0]?.longest} s`;
}
