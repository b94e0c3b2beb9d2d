/** Runs many tasks of the Gemini agent at once on measured workers, against a given model. */
import { once } from 'node:events';
import type { Responder } from '#services/local/offline-model/responder.ts';
import { writeAgentFile } from '../../support/agents/definition.ts';
import type { Cleanup } from '../../support/cleanup.ts';
import { runNode } from '../../support/processes/processes.ts';
import { startStack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

export interface LoadOptions {
  tasks: number;
  workers: number;
  /** Turns that one worker runs at the same time. */
  concurrency: number;
  /** The quota in the agent's definition. */
  requestsPerMinute: number;
  responder: Responder;
  boundMs: number;
}

export interface WorkerMeasurement {
  peakRssMb: number;
  /** Delay of the event loop. */
  delayP99Ms: number;
  delayMaxMs: number;
}

export interface LoadResult {
  completed: number;
  failed: number;
  /** From the start of the workers to the end of the last task. */
  seconds: number;
  /** Calls that the model answered. */
  answered: number;
  /** Calls that the model refused. */
  refused: number;
  /** Answered calls that started in a minute, measured over the first 95%. */
  answeredPerMinute: number;
  /** Calls in the busiest second. */
  busiestSecond: number;
  /** How many times a turn was parked. */
  parked: number;
  workers: WorkerMeasurement[];
}

const probe = new URL('probe.ts', import.meta.url).href;

export async function runLoad(t: Cleanup, options: LoadOptions): Promise<LoadResult> {
  const { tasks, requestsPerMinute, concurrency, responder, boundMs } = options;
  const agentFile = writeAgentFile(t, { quotas: { 'gemini-3.8-flash': { requestsPerMinute } } });
  const env = {
    AGENT_FILE: agentFile,
    WORKER_CONCURRENCY: String(concurrency),
    // The defaults of production.
    LEASE_SECONDS: '30',
    WAKEUP_GRACE_SECONDS: '10',
    RECONCILE_SECONDS: '2',
  };
  const stack = await startStack(t, env, responder);
  await stack.start('api');
  let sent = 0;
  const senders = Array.from({ length: 20 }, async () => {
    while (sent < tasks) await stack.submit(`task ${sent++}`);
  });
  await Promise.all(senders);
  // All tasks exist before the workers start.
  const startedAt = performance.now();
  const workers = Array.from({ length: options.workers }, () =>
    runNode(t, ['--import', probe, 'services/worker/main.ts'], { env: { ...stack.env, PORT: '0' } }),
  );

  const countEnded = async () => {
    const { rows } = await stack.pool.query<{ state: string; count: number }>(
      `select state, count(*)::int as count from tasks where state in ('TASK_STATE_COMPLETED', 'TASK_STATE_FAILED')
       group by state`,
    );
    const count = (state: string) => rows.find((row) => row.state === state)?.count ?? 0;
    return { completed: count('TASK_STATE_COMPLETED'), failed: count('TASK_STATE_FAILED') };
  };
  // Polled rarely: the database is shared with the measured workers.
  const ended = await waitFor(
    'the end of all tasks',
    async () => {
      const counts = await countEnded();
      return counts.completed + counts.failed >= tasks && counts;
    },
    { boundMs, everyMs: 100 },
  );
  const seconds = (performance.now() - startedAt) / 1000;
  return {
    ...ended,
    seconds,
    ...countCalls(stack.model.log()),
    parked: workers.reduce((sum, worker) => sum + (worker.output().match(/turn parked/g)?.length ?? 0), 0),
    workers: await Promise.all(
      workers.map(async ({ child }) => {
        const answer = once(child, 'message');
        child.send({});
        const [measurement] = (await answer) as [WorkerMeasurement];
        return measurement;
      }),
    ),
  };
}

function countCalls(log: readonly { time: string; status?: number }[]) {
  const starts = log.map(({ time }) => Date.parse(time)).toSorted((a, b) => a - b);
  const answered = log.flatMap(({ time, status }) => (status === 200 ? [Date.parse(time)] : []));
  answered.sort((a, b) => a - b);
  const counted = Math.max(1, Math.floor(answered.length * 0.95));
  const minutes = ((answered[counted - 1] ?? 0) - (answered[0] ?? 0)) / 60_000;
  return {
    answered: answered.length,
    refused: log.filter(({ status }) => status === 429).length,
    answeredPerMinute: (counted - 1) / minutes,
    busiestSecond: Math.max(
      ...starts
        .map((from, index) => starts.slice(index).findIndex((time) => time >= from + 1000))
        .filter((n) => n > 0),
      0,
    ),
  };
}
