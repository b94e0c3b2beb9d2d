/**
 * The parts of the statement that writes turns (write.ts). An arrow means that a CTE reads another one:
 *
 *   input ──▶ gate ──┬──▶ answer, task (──▶ the groups of children: children/end.ts)
 *                    ├──▶ numbered ──┬──▶ artifact
 *                    ├───────────────┴──▶ new_event ──▶ event, delivery ──┐
 *                    ├──▶ step ──▶ entry (the ledger)                     ▼
 *                    └────────────────────────────────────────────────▶ wakeup
 */
import { sql, type RawBuilder } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import { countEnds, familyColumns } from '../children/end.ts';
import { seconds } from '../client/fragments.ts';
import { float, int, json, rowsOrLargeRow, text, uuid } from '../client/rows.ts';
import { deliveryRows } from '../events/fan-out.ts';
import { insertOutbox, soonSeconds } from '../outbox/outbox.ts';
import { isRunnable } from './leases.ts';
import type { NewStep } from './turn-write.ts';

/** The write ends the turn. */
const ends = sql`input.end_class is not null`;
/** The write ends or releases the turn, so the lease ends. */
const leaves = sql`(${ends} or input.delay is not null)`;
/** The delay of a release: none if a call has ended a wait of the turn since it was claimed. */
const delay = sql`(case when g.signals <> input.signals then 0 else input.delay end)`;
/** A wait that ends soon is timed by this process, as the reconciler polls. */
const isTimed = sql`(input.signals is not null and ${delay} <= ${sql.lit(soonSeconds)})`;
/** The write ends the turn while a message waits, so that the message's turn follows. */
const continues = sql`(input.yields and g.last_turn > g.turn)`;
/** The write completes the task: its last attempt stays in the gate, which never changes again (attempts.ts). */
const completes = sql`coalesce(input.state = 'TASK_STATE_COMPLETED' and not ${continues}, false)`;

/** Finds the gates of the leases that are held, as the CTE `unlocked`, except for those that another transaction has locked. */
export const lockGates: RawBuilder<unknown> = sql`
    unlocked as (
      select g.version, g.worker, g.claimed_at, input.* from input cross join lateral (
        select g.ctid as version, g.worker, g.claimed_at from gates g
        where g.task_id = input.task_id and g.fence = input.fence and ${isRunnable}
        for no key update skip locked
      ) g
    )`;

/**
 * Updates the gates (invariant 3) and takes event numbers from them (invariant 5), as the CTE `gate`: one row
 * for each write whose lease is held and whose gate no other transaction has locked. The config revision must be the one that the statement saw when it
 * started (`seen`). Otherwise the statement would create no deliveries for a webhook config that was created
 * while it waited for the lock. A recorded output resets the attempts of the turn to the current one, and the
 * failures of its partners. An expired lease remains only if its holder crashed; see `crashed` in claim.ts.
 *
 * @param agentVersion the version of the agent, which a turn has from its first step to its end
 */
export function updateGates(
  wakeupGraceSeconds: number,
  agentVersion: string | undefined,
): RawBuilder<unknown> {
  const version = sql`
        agent_version = case
          when ${ends} then null when input.has_steps then ${agentVersion}::text else g.agent_version end,`;
  return sql`
    ${lockGates},
    gate as (
      update gates g set
        last_event = g.last_event + input.events,
        bytes = g.bytes + input.bytes,
        fence = g.fence + ${leaves}::int,${agentVersion === undefined ? sql`` : version}
        turn = g.turn + ${continues}::int,
        state_class = case when ${ends} and not ${continues} then input.end_class else 0 end,
        settled_at = case when ${ends} and not ${continues} then now() end,
        attempts = case
          when ${ends} then 0
          when input.count_attempt is false then greatest(g.attempts - 1, 0)
          when input.has_output then 1
          else g.attempts end,
        failures = case
          when ${ends} or input.has_output then 0
          when input.partner_failed then g.failures + 1
          else g.failures end,
        failing_since = case
          when ${ends} or input.has_output then null
          when input.partner_failed then coalesce(g.failing_since, now())
          else g.failing_since end,
        lease_until = case when not ${leaves} then g.lease_until when input.keeps_crash then now() end,
        worker = case when not ${leaves} or ${completes} then g.worker end,
        claimed_at = case when not ${leaves} or ${completes} then g.claimed_at end,
        run_at = coalesce(now() + ${seconds(delay)}, g.run_at),
        wakeup_at = case
          when ${isTimed} then now() + ${seconds(delay)} + ${seconds(wakeupGraceSeconds)}
          when ${delay} > 0 then now() + ${seconds(delay)}
          when ${delay} = 0 or ${continues} then now() + ${seconds(wakeupGraceSeconds)}
          else g.wakeup_at end
      from unlocked input
      where g.task_id = input.task_id and g.ctid = input.version
      returning g.task_id, g.turn, g.last_event, g.config_rev, input.fence, input.events, input.end_class,
        input.state, input.payload, input.payload_if_continued, input.status_at, input.message, input.direct,
        input.error, input.usage, ${delay} as delay,
        ${isTimed} as timed, input.own_turn, input.traceparent,
        ${ends} and g.state_class = 0 as continued, case when not ${completes} then input.outcome end as outcome,
        input.worker, input.claimed_at
    )`;
}

/** Stores the agent's answer under the turn that ends. */
export const insertAnswers: RawBuilder<unknown> = sql`
    answer as (
      insert into messages (task_id, turn, role, message)
      select task_id, own_turn, 'agent', message from gate where end_class is not null and message is not null
      on conflict (task_id, turn, role) do update set message = excluded.message
    )`;

const taskUpdate = sql`
    task as (
      update tasks t set
        state = case when gate.continued or gate.end_class is null then t.state else gate.state end,
        status_at = greatest(gate.status_at, t.status_at),
        status_message = case
          when gate.end_class is null then coalesce(gate.message, t.status_message) else gate.message end,
        direct = coalesce(gate.direct, t.direct),
        last_error = coalesce(gate.error, t.last_error),
        usage = coalesce(gate.usage, t.usage)
      from gate
      where t.id = gate.task_id and (
        gate.end_class is not null or gate.error is not null or gate.usage is not null or gate.message is not null
      )`;

/**
 * Updates the status of tasks; a write of events or steps alone leaves its task untouched.
 *
 * @param withFamily whether tasks of the set may have parents or children, whose groups then learn of their ends
 * @param count the number of writes
 */
export function updateTasks(withFamily: boolean, count: number): RawBuilder<unknown> {
  if (!withFamily) return sql`${taskUpdate}),`;
  return sql`${taskUpdate}
      returning t.id as task_id, ${familyColumns},
        coalesce(gate.end_class = ${sql.lit(stateClass.terminal)}, false) and not gate.continued as has_ended
    ),
    ${countEnds(sql`(select * from task where has_ended) ended`, count)}`;
}

/** Stores the artifacts that events of the CTE `numbered` complete, each as of its last such event. */
export const upsertArtifacts: RawBuilder<unknown> = sql`
    artifact as (
      insert into artifacts (task_id, artifact_id, turn, seq, artifact)
      select distinct on (task_id, artifact_id) task_id, artifact_id, own_turn, seq, artifact from numbered
      where artifact is not null order by task_id, artifact_id, seq desc
      on conflict (task_id, artifact_id) do update
        set turn = excluded.turn, seq = excluded.seq, artifact = excluded.artifact
    )`;

/**
 * Writes the events of the CTE `numbered`, and one for the end of each turn, which has the gate's last
 * number.
 */
export const insertEvents: RawBuilder<unknown> = sql`
    new_event as (
      select task_id, seq, kind, artifact_id, payload, false as settles, config_rev, traceparent
      from numbered
      union all
      select task_id, last_event, case when continued then 'progress' else 'state' end, null,
        case when continued then payload_if_continued else payload end, not continued, config_rev, traceparent
      from gate where end_class is not null
    ),
    event as (
      insert into events (task_id, seq, kind, artifact_id, payload, traceparent)
      select task_id, seq, kind, artifact_id, payload, traceparent from new_event
    )`;

/**
 * Writes wake-ups as the CTE `wakeup`: for the turn of a waiting message, for a turn that is released without
 * a delay or waits for a short time, and for deliveries.
 */
export const insertWakeups: RawBuilder<unknown> = sql`
    wakeup as (
      ${insertOutbox(
        {
          kind: 'turn',
          from: sql`gate join tasks t on t.id = gate.task_id where gate.continued or gate.delay = 0 or gate.timed`,
          publishAt: sql`now() + ${seconds(sql`coalesce(gate.delay, 0)`)}`,
          taskId: sql`gate.task_id`,
          turn: sql`gate.turn`,
          traceparent: sql`t.traceparent`,
        },
        deliveryRows,
      )}
      returning id, kind, task_id, config_id, owner, traceparent
    )`;

/** Whether a turn that crashes after this step has done something since its last crash. */
export function isProgress({ output, wait }: NewStep): boolean {
  if (output !== null) return true;
  if (wait?.wait.kind === 'agent') return Object.keys(wait.wait.shown?.artifacts ?? {}).length > 0;
  return wait?.wait.kind === 'model' && wait.wait.cursor !== undefined;
}

export type StepOfTask = NewStep & { taskId: string };

/** Records steps, as the CTE `step` of those that were not finished before (invariant 7). */
export function upsertSteps(steps: readonly StepOfTask[]): RawBuilder<unknown> {
  const input = rowsOrLargeRow('written', steps, ({ output }) => output?.length ?? 0, {
    task_id: uuid((step) => step.taskId),
    name: text((step) => step.name),
    occurrence: int((step) => step.occurrence),
    position: int((step) => step.position),
    input_hash: text((step) => step.inputHash),
    output: json((step) => step.output),
    usage: json((step) => (step.usage === undefined ? null : JSON.stringify(step.usage))),
    wait: json((step) => (step.wait === undefined ? null : JSON.stringify(step.wait.wait))),
    due_in: float((step) => step.wait?.dueInSeconds),
    token: text((step) => step.wait?.token),
    seconds: float((step) => step.seconds),
  });
  return sql`
    step as (
      insert into steps (task_id, turn, name, occurrence, position, input_hash, output, usage, fence, started_at,
        finished_at, wait, due_at, token)
      select written.task_id, gate.own_turn, written.name, written.occurrence, written.position, written.input_hash,
        written.output, written.usage, gate.fence, now() - ${seconds(sql`coalesce(written.seconds, 0)`)}, case when written.output is not null then now() end,
        written.wait, now() + ${seconds(sql`written.due_in`)}, written.token
      from (${input}) written join gate on gate.task_id = written.task_id
      on conflict (task_id, turn, name, occurrence) do update
        set output = excluded.output, usage = excluded.usage, fence = excluded.fence,
          finished_at = excluded.finished_at,
          -- Keeps the report of a webhook, which another transaction may have added.
          wait = case when excluded.wait ->> 'kind' in ('model', 'agent')
            then (steps.wait::jsonb || excluded.wait::jsonb)::json else steps.wait end,
          due_at = case when excluded.wait is null then steps.due_at else excluded.due_at end
        where steps.output is null
      returning task_id, name, occurrence
    )`;
}
