/**
 * What became of every task, seen from outside: by the front door, by the logs of tools, model and receivers, and by
 * read-only looks at what is stored where no client can look.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { Fault } from './faults.ts';
import type { Accepted, Load } from './load.ts';
import type { Outside, ToolCall } from './outside.ts';
import { resultArtifact, resultOf } from './plans.ts';
import type { System } from './system.ts';

/** Each is a list of what was found, one line each. */
export const mustBeEmpty = [
  'lost',
  'stuck',
  'accepted twice',
  'terminal twice',
  'events with gaps',
  'wrong results',
  'finished steps run again',
  'calls repeated without a cause',
  'webhooks missing',
  'webhooks out of order',
  'surprising answers',
] as const;

export type Findings = Record<(typeof mustBeEmpty)[number], string[]> & {
  repeatedCalls: number;
  repeatedDeliveries: number;
};

/** A worker told that it had lost a turn. */
export interface LostTurn {
  pid: number;
  at: number;
}

interface Causes {
  faults: readonly Fault[];
  lost: readonly LostTurn[];
}

/** Until nothing is to be done any more: no task that could run, no delivery that waits. */
export async function untilQuiet(pool: Pool, boundMs: number): Promise<number> {
  const began = Date.now();
  while (Date.now() - began < boundMs) {
    const { rows } = await pool
      .query<{ left: number }>(
        `select ((select count(*) from gates where state_class = 0)
          + (select count(*) from deliveries where state = 'pending'))::int as left`,
      )
      .catch(() => ({ rows: [] }));
    if (rows[0]?.left === 0) break;
    await sleep(100);
  }
  return Date.now() - began;
}

export async function check(system: System, outside: Outside, load: Load, causes: Causes): Promise<Findings> {
  const findings: Findings = {
    lost: [],
    stuck: [],
    'accepted twice': [],
    'terminal twice': [],
    'events with gaps': [],
    'wrong results': [],
    'finished steps run again': [],
    'calls repeated without a cause': [],
    'webhooks missing': [],
    'webhooks out of order': [],
    'surprising answers': [],
    repeatedCalls: 0,
    repeatedDeliveries: 0,
  };
  findings['surprising answers'].push(...load.surprises);
  if (load.streams.gaps > 0) findings['events with gaps'].push(`${load.streams.gaps} in streams`);
  for (const task of load.accepted) await checkTask(system.apiUrls[0]!, task, findings);
  await checkStored(system.pool, findings);
  await checkToolCalls(system.pool, outside, causes, findings);
  await checkModelCalls(system.pool, outside, causes.faults, findings);
  await checkWebhooks(system.pool, outside, findings);
  return findings;
}

async function checkTask(apiUrl: string, task: Accepted, findings: Findings): Promise<void> {
  const response = await fetch(`${apiUrl}/a2a/jsonrpc`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'a2a-version': '1.0' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'GetTask', params: { id: task.taskId } }),
  });
  const { result } = (await response.json()) as {
    result?: {
      status: { state: string; message?: unknown };
      artifacts?: { artifactId: string; parts: { text?: string }[] }[];
    };
  };
  const [first] = task.plans;
  const about = `${task.taskId} (${first?.kind})`;
  if (result === undefined) {
    findings.lost.push(`${about} is not found`);
    return;
  }
  const { state } = result.status;
  if (!/COMPLETED|FAILED|CANCELED/.test(state)) {
    findings.stuck.push(`${about} is ${state}`);
    return;
  }
  const unlikely = state === 'TASK_STATE_CANCELED' ? 'not asked' : 'done';
  if (task.cancel === unlikely)
    findings['wrong results'].push(`${about} is ${state}, cancel: ${task.cancel}`);
  const mayFail = first?.kind === 'broken' || first?.kind === 'gemini';
  if (state === 'TASK_STATE_FAILED' && !mayFail) {
    findings['wrong results'].push(`${about} failed: ${JSON.stringify(result.status.message)}`);
  }
  if (state !== 'TASK_STATE_COMPLETED') return;
  for (const [index, plan] of task.plans.entries()) {
    const wanted = resultOf(plan);
    if (wanted === undefined) continue;
    const artifact = result.artifacts?.find((one) => one.artifactId === resultArtifact(index + 1));
    if (artifact === undefined) findings.lost.push(`${about}: no result of its message ${index + 1}`);
    else {
      const text = artifact.parts.map((part) => part.text).join('');
      if (text !== wanted) findings['wrong results'].push(`${about}: "${text}" instead of "${wanted}"`);
    }
  }
}

async function checkStored(pool: Pool, findings: Findings): Promise<void> {
  const tell = async (name: (typeof mustBeEmpty)[number], query: string): Promise<void> => {
    const { rows } = await pool.query<{ about: string }>(query);
    findings[name].push(...rows.map((row) => row.about));
  };
  await tell(
    'accepted twice',
    `select message ->> 'messageId' || ' began ' || count(*) || ' turns' as about
     from messages where role = 'user' group by message ->> 'messageId' having count(*) > 1`,
  );
  await tell(
    'events with gaps',
    `select g.task_id || ': ' || count(e.seq) || ' events of ' || g.last_event as about
     from gates g left join events e on e.task_id = g.task_id group by g.task_id, g.last_event
     having count(e.seq) <> g.last_event or max(e.seq) <> g.last_event or min(e.seq) <> 1`,
  );
  await tell(
    'terminal twice',
    `select e.task_id || ': event ' || e.seq || ' of ' || g.last_event as about
     from events e join gates g on g.task_id = e.task_id
     where e.kind = 'state' and e.seq < g.last_event
       and e.payload -> 'statusUpdate' -> 'status' ->> 'state'
         in ('TASK_STATE_COMPLETED', 'TASK_STATE_FAILED', 'TASK_STATE_CANCELED', 'TASK_STATE_REJECTED')`,
  );
}

interface Finished {
  key: string;
  finished_ms: number;
}

async function finishedSteps(pool: Pool): Promise<Map<string, number>> {
  const { rows } = await pool.query<Finished>(
    `select task_id || '/' || turn || '/' || name || '/' || occurrence as key,
       (extract(epoch from finished_at) * 1000)::float8 as finished_ms
     from steps where finished_at is not null`,
  );
  return new Map(rows.map((row) => [row.key, row.finished_ms]));
}

/** The clocks are one; a millisecond is lost in rounding. */
const roundingMs = 1;

async function checkToolCalls(
  pool: Pool,
  outside: Outside,
  causes: Causes,
  findings: Findings,
): Promise<void> {
  const finished = await finishedSteps(pool);
  for (const calls of Map.groupBy(outside.toolCalls, (call) => call.key).values()) {
    const ordered = calls.toSorted((a, b) => a.begun - b.begun);
    for (const [index, call] of ordered.entries()) {
      if (call.begun > (finished.get(call.key) ?? Infinity) + roundingMs) {
        findings['finished steps run again'].push(`${call.key} by ${call.pid}`);
      }
      const before = ordered[index - 1];
      if (before === undefined || before.refused) continue;
      findings.repeatedCalls += 1;
      if (!explained(causes, before, call)) {
        findings['calls repeated without a cause'].push(
          `${call.key} at ${before.begun} by ${before.pid} and at ${call.begun} by ${call.pid}`,
        );
      }
    }
  }
}

/**
 * A call in flight may be made again when its process ended or was paused, its result could not be recorded, or its
 * worker had lost the turn, as one does that a busy machine does not let run for the time of a lease.
 */
function explained({ faults, lost }: Causes, before: ToolCall, after: ToolCall): boolean {
  return (
    faults.some(
      ({ what, pid, from, until }) =>
        from <= after.begun && until >= before.begun && (what === 'postgres' || pid === before.pid),
    ) || lost.some(({ pid, at }) => pid === before.pid && at >= before.begun && at <= after.begun + noticedMs)
  );
}

/** How much later than the one who took its turn a worker may notice, and tell. */
const noticedMs = 5_000;

/** Each of these tasks asks the model once in a turn; the calls that went wrong on purpose were made again in place. */
async function checkModelCalls(
  pool: Pool,
  outside: Outside,
  faults: readonly Fault[],
  findings: Findings,
): Promise<void> {
  const { rows } = await pool.query<{ text: string; finished_ms: number }>(
    `select m.message -> 'parts' -> 0 ->> 'text' as text,
       (extract(epoch from s.finished_at) * 1000)::float8 as finished_ms
     from steps s join messages m on m.task_id = s.task_id and m.turn = s.turn and m.role = 'user'
     where s.name = 'model' and s.occurrence = 0 and s.finished_at is not null`,
  );
  const finished = new Map(rows.map((row) => [row.text, row.finished_ms]));
  for (const calls of Map.groupBy(outside.modelCalls, (call) => call.text).values()) {
    for (const [index, call] of calls.entries()) {
      // A request that a paused worker had sent is heard when it comes.
      const late = faults.some(({ what, until }) => what === 'pause' && Math.abs(call.at - until) < 1_000);
      // After an answer that was empty or malformed it is asked once more, with a hint: another step.
      const sameStep = call.contents === calls[0]?.contents;
      if (sameStep && !late && call.at > (finished.get(call.text) ?? Infinity) + roundingMs) {
        findings['finished steps run again'].push(`the model: ${call.text}`);
      }
      if (index > 0 && sameStep && calls[index - 1]?.failed === false) findings.repeatedCalls += 1;
    }
  }
}

async function checkWebhooks(pool: Pool, outside: Outside, findings: Findings): Promise<void> {
  const { rows: wanted } = await pool.query<{ task_id: string; seq: number }>(
    `select e.task_id, e.seq from events e join webhook_configs c on c.task_id = e.task_id
     where e.kind = 'state' order by e.task_id, e.seq`,
  );
  const receipts = Map.groupBy(outside.receipts, (receipt) => receipt.taskId);
  for (const [taskId, events] of Map.groupBy(wanted, (row) => row.task_id)) {
    const received = receipts.get(taskId) ?? [];
    const firsts: number[] = [];
    const taken = new Set<number>();
    for (const { seq, taken: yes } of received) {
      if (!firsts.includes(seq)) firsts.push(seq);
      if (taken.has(seq)) findings.repeatedDeliveries += 1;
      if (yes) taken.add(seq);
    }
    for (const { seq } of events) {
      if (!taken.has(seq)) findings['webhooks missing'].push(`${taskId}: event ${seq}`);
    }
    if (firsts.some((seq, index) => seq < (firsts[index - 1] ?? 0))) {
      findings['webhooks out of order'].push(`${taskId}: ${firsts.join(', ')}`);
    }
  }
}
