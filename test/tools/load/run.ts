/** Many tasks of the Gemini agent at once, on workers that are watched, against a model that behaves as a test wants. */
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Responder } from '#services/local/offline-model/responder.ts';
import { runNode, type Cleanup } from '../../support/processes/processes.ts';
import { startStack } from '../../support/stack.ts';

export interface Load {
  tasks: number;
  workers: number;
  concurrency: number;
  requestsPerMinute: number;
  responder: Responder;
  boundMs: number;
}

export interface WorkerFigures {
  peakRssMb: number;
  delayP99Ms: number;
  delayMaxMs: number;
}

export interface Figures {
  completed: number;
  failed: number;
  /** From the start of the workers to the end of the last task. */
  seconds: number;
  /** Calls that the model answered, and refused. */
  answered: number;
  refused: number;
  /** Answered calls that began in a minute, from the first to where 95 of 100 had begun. */
  answeredPerMinute: number;
  /** Calls in the busiest second. */
  busiestSecond: number;
  /** How often a turn was parked. */
  parked: number;
  workers: WorkerFigures[];
}

const probe = new URL('probe.ts', import.meta.url).href;

export async function runLoad(t: Cleanup, load: Load): Promise<Figures> {
  const agentFile = path.join(mkdtempSync(path.join(tmpdir(), 'longhaul-load-')), 'agent.yaml');
  writeFileSync(
    agentFile,
    `name: Loaded
description: Answers.
version: "1"
skills: [{ id: a, name: A, description: Answers., tags: [] }]
instruction: Answer.
quotas: { gemini-3.8-flash: { requestsPerMinute: ${load.requestsPerMinute} } }
`,
  );
  const env = {
    AGENT_FILE: agentFile,
    WORKER_CONCURRENCY: String(load.concurrency),
    // As in production.
    LEASE_SECONDS: '30',
    WAKEUP_GRACE_SECONDS: '10',
    RECONCILE_SECONDS: '2',
  };
  const stack = await startStack(t, env, load.responder);
  await stack.start('api');
  let sent = 0;
  const senders = Array.from({ length: 20 }, async () => {
    while (sent < load.tasks) await stack.submit(`task ${sent++}`);
  });
  await Promise.all(senders);
  // They find all of them.
  const began = performance.now();
  const workers = Array.from({ length: load.workers }, () =>
    runNode(t, ['--import', probe, 'services/worker/main.ts'], { env: { ...stack.env, PORT: '0' } }),
  );

  const ended = async () => {
    const { rows } = await stack.pool.query<{ state: string; count: number }>(
      `select state, count(*)::int as count from tasks where state in ('TASK_STATE_COMPLETED', 'TASK_STATE_FAILED')
       group by state`,
    );
    const of = (state: string) => rows.find((row) => row.state === state)?.count ?? 0;
    return { completed: of('TASK_STATE_COMPLETED'), failed: of('TASK_STATE_FAILED') };
  };
  let states = await ended();
  while (states.completed + states.failed < load.tasks) {
    if (performance.now() - began > load.boundMs) throw new Error(`not done: ${JSON.stringify(states)}`);
    await sleep(100);
    states = await ended();
  }
  const seconds = (performance.now() - began) / 1000;
  return {
    ...states,
    seconds,
    ...callsOf(stack.model.log()),
    parked: workers.reduce((sum, worker) => sum + (worker.output().match(/turn parked/g)?.length ?? 0), 0),
    workers: await Promise.all(
      workers.map(async ({ child }) => {
        const answer = once(child, 'message');
        child.send({});
        const [figures] = (await answer) as [WorkerFigures];
        return figures;
      }),
    ),
  };
}

function callsOf(log: readonly { time: string; status?: number }[]) {
  const begun = log.map(({ time }) => Date.parse(time)).toSorted((a, b) => a - b);
  const answered = log.flatMap(({ time, status }) => (status === 200 ? [Date.parse(time)] : []));
  answered.sort((a, b) => a - b);
  const most = Math.max(1, Math.floor(answered.length * 0.95));
  const minutes = ((answered[most - 1] ?? 0) - (answered[0] ?? 0)) / 60_000;
  return {
    answered: answered.length,
    refused: log.filter(({ status }) => status === 429).length,
    answeredPerMinute: (most - 1) / minutes,
    busiestSecond: Math.max(
      ...begun
        .map((from, index) => begun.slice(index).findIndex((time) => time >= from + 1000))
        .filter((n) => n > 0),
      0,
    ),
  };
}
