/**
 * The statement for writes that record steps and nothing else, as most writes of a turn do. Nothing waits for a step but its
 * turn, so no listener is notified, and the tables of events, artifacts, deliveries and wake-ups are not opened:
 *
 *   input ──▶ gate ──▶ step ──▶ entry (the ledger)
 *              └──▶ task (its usage)
 */
import { sql, type RawBuilder } from 'kysely';
import { fewRows } from '../client/fragments.ts';
import { bigint, boolean, int, json, rows, uuid } from '../client/rows.ts';
import { insertLedgerEntries } from '../models/ledger.ts';
import type { TurnWrite } from './turn-write.ts';
import { isProgress, lockGates, upsertSteps, type StepOfTask } from './write-fragments.ts';

type StepsWrite = TurnWrite & { bytes: number };

export function writesStepsOnly({ events = [], finish }: TurnWrite): boolean {
  return events.length === 0 && finish === undefined;
}

/**
 * Returns `task_id`, `turn`, `last_event` and the columns of a write without wake-ups, for each write whose lease is held.
 *
 * @param steps of all writes
 * @param agentVersion the version of the agent, which a turn has from its first step to its end
 */
export function writeSteps<Row>(
  writes: readonly StepsWrite[],
  steps: readonly StepOfTask[],
  agentVersion: string | undefined,
): RawBuilder<Row> {
  return sql`-- prepared
    with input as (${inputRows(writes)} ${fewRows(writes.length)}),
    ${lockGates},
    ${updateGates(agentVersion)},
    ${upsertSteps(steps)},
    ${insertLedgerEntries(steps)}
    task as (
      update tasks t set usage = gate.usage from gate where t.id = gate.task_id and gate.usage is not null
    )
    select task_id, turn, last_event, null as delay, null as wakeup_id, null as wakeup_owner, null as traceparent,
      null as delivery_wakeups
    from gate`;
}

function inputRows(writes: readonly StepsWrite[]): RawBuilder<unknown> {
  return rows('input', writes, {
    task_id: uuid(({ lease }) => lease.taskId),
    own_turn: int(({ lease }) => lease.turn),
    fence: int(({ lease }) => lease.fence),
    // Null instead of false: a column without values costs nothing (rows.ts).
    has_steps: boolean(({ steps = [] }) => steps.length > 0 || null),
    has_output: boolean(({ steps }) => steps?.some(isProgress) || null),
    usage: json(({ taskUsage }) => (taskUsage === undefined ? null : JSON.stringify(taskUsage))),
    bytes: bigint(({ bytes }) => bytes),
  });
}

/** Updates the gates as steps change them, as the CTE `gate`. The same as in the statement for all writes (write-fragments.ts). */
function updateGates(agentVersion: string | undefined): RawBuilder<unknown> {
  const version = sql`
        agent_version = case when input.has_steps then ${agentVersion}::text else g.agent_version end,`;
  return sql`
    gate as (
      update gates g set
        bytes = g.bytes + input.bytes,${agentVersion === undefined ? sql`` : version}
        attempts = case when input.has_output then 1 else g.attempts end,
        failures = case when input.has_output then 0 else g.failures end,
        failing_since = case when input.has_output then null else g.failing_since end
      from unlocked input
      where g.task_id = input.task_id and g.ctid = input.version
      returning g.task_id, g.turn, g.last_event, input.fence, input.own_turn, input.usage
    )`;
}
