/**
 * Checks every task of a run from outside: through the api, with the logs of the tools, the model and the receivers, and
 * with read-only queries for facts that no client can see.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { callJsonRpc } from '../../support/clients/json-rpc.ts';
import type { AcceptedTask, Clients } from './clients.ts';
import type { ExternalServices, LoggedToolCall } from './external-services.ts';
import type { Fault } from './faults.ts';
import { getArtifactId, getExpectedResult } from './plans.ts';
import type { System } from './system.ts';

/** The kinds of violations. Each is a list of lines, and passes if it is empty. */
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

/** A worker has logged that it lost a turn. */
export interface LostTurn {
  pid: number;
  at: number;
}

interface Causes {
  faults: readonly Fault[];
  lost: readonly LostTurn[];
}

/**
 * Waits until no task is runnable and no delivery is pending.
 *
 * @returns the milliseconds until then, or the bound
 */
export async function waitForQuiet(pool: Pool, boundMs: number): Promise<number> {
  const startedAt = Date.now();
  while (Date.now() - startedAt < boundMs) {
    const { rows } = await pool
      .query<{ left: number }>(
        `select ((select count(*) from gates where state_class = 0)
          + (select count(*) from deliveries where state = 'pending'))::int as left`,
      )
      .catch(() => ({ rows: [] }));
    if (rows[0]?.left === 0) break;
    await sleep(100);
  }
  return Date.now() - startedAt;
}

export async function checkRun(
  system: System,
  external: ExternalServices,
  clients: Clients,
  causes: Causes,
): Promise<Findings> {
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
  findings['surprising answers'].push(...clients.surprises);
  if (clients.streams.gaps > 0) findings['events with gaps'].push(`${clients.streams.gaps} in streams`);
  for (const task of clients.accepted) await checkTask(system.apiUrls[0]!, task, findings);
  await checkStored(system.pool, findings);
  await checkToolCalls(system.pool, external, causes, findings);
  await checkModelCalls(system.pool, external, causes.faults, findings);
  await checkWebhooks(system.pool, external, findings);
  return findings;
}

async function checkTask(apiUrl: string, task: AcceptedTask, findings: Findings): Promise<void> {
  const { result } = (await callJsonRpc(apiUrl, 'GetTask', { id: task.taskId })) as {
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
  const contradiction = state === 'TASK_STATE_CANCELED' ? 'not_requested' : 'confirmed';
  if (task.cancel === contradiction)
    findings['wrong results'].push(`${about} is ${state}, cancel: ${task.cancel}`);
  const mayFail = first?.kind === 'broken' || first?.kind === 'gemini';
  if (state === 'TASK_STATE_FAILED' && !mayFail) {
    findings['wrong results'].push(`${about} failed: ${JSON.stringify(result.status.message)}`);
  }
  if (state !== 'TASK_STATE_COMPLETED') return;
  for (const [index, plan] of task.plans.entries()) {
    const expected = getExpectedResult(plan);
    if (expected === undefined) continue;
    const artifact = result.artifacts?.find(({ artifactId }) => artifactId === getArtifactId(index + 1));
    if (artifact === undefined) findings.lost.push(`${about}: message ${index + 1} has no result`);
    else {
      const text = artifact.parts.map((part) => part.text).join('');
      if (text !== expected) findings['wrong results'].push(`${about}: "${text}" instead of "${expected}"`);
    }
  }
}

async function checkStored(pool: Pool, findings: Findings): Promise<void> {
  const report = async (name: (typeof mustBeEmpty)[number], query: string): Promise<void> => {
    const { rows } = await pool.query<{ about: string }>(query);
    findings[name].push(...rows.map((row) => row.about));
  };
  await report(
    'accepted twice',
    `select message ->> 'messageId' || ' started ' || count(*) || ' turns' as about
     from messages where role = 'user' group by message ->> 'messageId' having count(*) > 1`,
  );
  await report(
    'events with gaps',
    `select g.task_id || ': ' || count(e.seq) || ' events of ' || g.last_event as about
     from gates g left join events e on e.task_id = g.task_id group by g.task_id, g.last_event
     having count(e.seq) <> g.last_event or max(e.seq) <> g.last_event or min(e.seq) <> 1`,
  );
  await report(
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

/** Reads when each finished step was recorded, by its idempotency key. */
async function readFinishedSteps(pool: Pool): Promise<Map<string, number>> {
  const { rows } = await pool.query<Finished>(
    `select task_id || '/' || turn || '/' || name || '/' || occurrence as key,
       (extract(epoch from finished_at) * 1000)::float8 as finished_ms
     from steps where finished_at is not null`,
  );
  return new Map(rows.map((row) => [row.key, row.finished_ms]));
}

/** All processes share one clock; rounding loses a millisecond. */
const roundingMs = 1;

async function checkToolCalls(
  pool: Pool,
  external: ExternalServices,
  causes: Causes,
  findings: Findings,
): Promise<void> {
  const finished = await readFinishedSteps(pool);
  for (const calls of Map.groupBy(external.toolCalls, (call) => call.key).values()) {
    const ordered = calls.toSorted((a, b) => a.at - b.at);
    for (const [index, call] of ordered.entries()) {
      if (call.at > (finished.get(call.key) ?? Infinity) + roundingMs) {
        findings['finished steps run again'].push(`${call.key} by ${call.pid}`);
      }
      const previous = ordered[index - 1];
      if (previous === undefined || previous.refused) continue;
      findings.repeatedCalls += 1;
      if (!isExplained(causes, previous, call)) {
        findings['calls repeated without a cause'].push(
          `${call.key} at ${previous.at} by ${previous.pid} and at ${call.at} by ${call.pid}`,
        );
      }
    }
  }
}

/**
 * A call in flight may be repeated if its process stopped or was paused, if its result could not be recorded, or if its
 * worker lost the turn, which also happens to a process that a busy machine does not run for the time of a lease.
 */
function isExplained({ faults, lost }: Causes, first: LoggedToolCall, second: LoggedToolCall): boolean {
  return (
    faults.some(
      ({ kind, pid, from, until }) =>
        from <= second.at && until >= first.at && (kind === 'postgres' || pid === first.pid),
    ) || lost.some(({ pid, at }) => pid === first.pid && at >= first.at && at <= second.at + noticeMs)
  );
}

/** The time within which a worker notices that another worker has claimed its turn. */
const noticeMs = 5_000;

/** Each of these turns calls the model once. Calls that failed on purpose were repeated within the step. */
async function checkModelCalls(
  pool: Pool,
  external: ExternalServices,
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
  for (const calls of Map.groupBy(external.modelCalls, (call) => call.text).values()) {
    for (const [index, call] of calls.entries()) {
      // The model logs the request of a paused worker when it arrives.
      const late = faults.some(({ kind, until }) => kind === 'pause' && Math.abs(call.at - until) < 1_000);
      // After an empty or malformed response the agent calls the model again with a hint, in another step.
      const sameStep = call.contents === calls[0]?.contents;
      if (sameStep && !late && call.at > (finished.get(call.text) ?? Infinity) + roundingMs) {
        findings['finished steps run again'].push(`the model: ${call.text}`);
      }
      if (index > 0 && sameStep && calls[index - 1]?.failed === false) findings.repeatedCalls += 1;
    }
  }
}

async function checkWebhooks(pool: Pool, external: ExternalServices, findings: Findings): Promise<void> {
  const { rows: expected } = await pool.query<{ task_id: string; seq: number }>(
    `select e.task_id, e.seq from events e join webhook_configs c on c.task_id = e.task_id
     where e.kind = 'state' order by e.task_id, e.seq`,
  );
  const webhooks = Map.groupBy(external.webhooks, (webhook) => webhook.taskId);
  for (const [taskId, events] of Map.groupBy(expected, (row) => row.task_id)) {
    const received = webhooks.get(taskId) ?? [];
    const firsts: number[] = [];
    const acceptedEvents = new Set<number>();
    for (const { seq, accepted } of received) {
      if (!firsts.includes(seq)) firsts.push(seq);
      if (acceptedEvents.has(seq)) findings.repeatedDeliveries += 1;
      if (accepted) acceptedEvents.add(seq);
    }
    for (const { seq } of events) {
      if (!acceptedEvents.has(seq)) findings['webhooks missing'].push(`${taskId}: event ${seq}`);
    }
    if (firsts.some((seq, index) => seq < (firsts[index - 1] ?? 0))) {
      findings['webhooks out of order'].push(`${taskId}: ${firsts.join(', ')}`);
    }
  }
}
