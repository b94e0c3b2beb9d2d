/** Waits for calls of the model that run at Google: reports of Gemini's webhooks, and calls whose turns have ended. */
import { sql, type RawBuilder } from 'kysely';
import { interactionStep } from '../../../domain/wait.ts';
import type { AgentDefinition } from '../../../agent/definition.ts';
import type { ModelUsage } from '../../../domain/usage.ts';
import type { Wakeup } from '../../../domain/wakeup.ts';
import type { Db } from '../../client/pool.ts';
import { insertLedgerEntries } from '../../models/ledger.ts';
import { insertTurnWakeups, toTurnWakeup, type TurnWakeupRow } from '#shared/db/outbox/outbox.ts';
import { isRunnable } from '../leases.ts';
import { isReleased, signalTurn } from './signal.ts';

/**
 * Records that Gemini has reported a call, and wakes its turn, which asks Gemini for the state of the call. A worker
 * that runs the turn finds the count of signals raised when it puts the turn back. A report is only a hint: one that
 * is repeated, late or early changes nothing but the time of the next poll.
 *
 * A call that is reported after its wait has ended with another call was lost by a worker that died: it is deleted at Google.
 *
 * @returns the wake-ups to publish; undefined if no wait has this token
 */
export async function reportModelCall(
  db: Db,
  options: { wakeupGraceSeconds: number },
  report: { token: string; interaction: string },
): Promise<Wakeup[] | undefined> {
  const { rows } = await sql<{ known: boolean } & (TurnWakeupRow | { id: null })>`-- prepared
    with target as (
      select task_id, turn, name, occurrence, output is null as is_open, wait ->> 'interaction' as reported from steps
      where token = ${report.token} and wait ->> 'kind' = 'model'
    ),
    locked as (
      update gates g set ${signalTurn(options.wakeupGraceSeconds)}
      from target where target.is_open and g.task_id = target.task_id and g.turn = target.turn and ${isRunnable}
      returning g.task_id, g.turn, ${isReleased}
    ),
    gate as (
      update steps s set wait = (s.wait::jsonb || jsonb_build_object('interaction', ${report.interaction}::text))::json
      from locked join target on target.task_id = locked.task_id
      where s.task_id = target.task_id and s.turn = target.turn and s.name = target.name
        and s.occurrence = target.occurrence and s.output is null
      returning s.task_id, s.turn, locked.is_free
    ),
    wakeup as (${insertTurnWakeups(sql`gate.is_free`)}),
    ended as (
      select * from target where not is_open and reported is distinct from ${report.interaction}
    ),
    ${rememberUnused('ended', report.interaction)}
    -- Returns one row with null columns without a wake-up.
    select exists (select from target) as known, wakeup.*
    from (select) single_row left join wakeup on true`.execute(db);
  const [row] = rows;
  if (row === undefined || !row.known) return undefined;
  return row.id === null ? [] : [toTurnWakeup(row)];
}

/** The CTE `unused`: lets a call of a wait be deleted at Google if no step has recorded it. */
function rememberUnused(wait: 'ended' | 'step', interaction: string | null): RawBuilder<unknown> {
  const from = sql.ref(wait);
  return sql`
    unused as (
      insert into stored_calls (interaction)
      select ${interaction}::text from ${from} where ${interaction}::text is not null and not exists (
        select from steps s
        where s.task_id = ${from}.task_id and s.turn = ${from}.turn and s.interaction = ${interaction}
      )
      on conflict do nothing
    )`;
}

/** A wait whose turn or task has ended: canceled, expired, failed or deleted. */
export interface AbandonedModelWait {
  taskId: string;
  turn: number;
  name: string;
  occurrence: number;
  /** The id of the call; null if none was recorded. */
  interaction: string | null;
  /** The model of the definition, and the prices of models, by name. */
  model: string;
  prices: AgentDefinition['prices'];
}

/** At most this many in one read. */
const maxAbandoned = 100;

/**
 * Returns waits that are overdue and that no turn waits for anymore. A live turn polls when a wait is due, so only
 * overdue ones are examined.
 */
export async function readAbandonedModelWaits(db: Db): Promise<AbandonedModelWait[]> {
  const { rows } = await sql<AbandonedModelWait>`
    select s.task_id as "taskId", s.turn, s.name, s.occurrence,
      coalesce(created.output ->> 'id', s.wait ->> 'interaction') as interaction,
      coalesce(a.definition -> 'model' ->> 'name', '') as model, coalesce(a.definition -> 'prices', '{}') as prices
    from steps s left join gates g on g.task_id = s.task_id
      left join tasks t on t.id = s.task_id left join agents a on a.hash = t.agent_hash
      left join steps created on created.task_id = s.task_id and created.turn = s.turn
        and created.name = ${interactionStep} and created.occurrence = s.occurrence
    where s.wait ->> 'kind' = 'model' and s.finished_at is null and s.due_at < now()
      and (g.task_id is null or g.turn <> s.turn or not ${isRunnable})
    limit ${maxAbandoned}`.execute(db);
  return rows;
}

/**
 * Closes an abandoned wait, so that it is not read again, and adds the usage of its call to the ledger, once.
 *
 * @param usage undefined: it is not known
 */
export async function closeModelWait(
  db: Db,
  { taskId, turn, name, occurrence, interaction }: AbandonedModelWait,
  usage: ModelUsage | undefined,
): Promise<void> {
  await sql`
    with step as (
      update steps set output = '{"status":"canceled"}', usage = ${usage === undefined ? null : JSON.stringify(usage)}::json,
        finished_at = now()
      where task_id = ${taskId} and turn = ${turn} and name = ${name} and occurrence = ${occurrence}
        and finished_at is null
      returning task_id, turn, name, occurrence
    ),
    ${insertLedgerEntries([{ taskId, name, occurrence, ...(usage && { usage }) }])}
    ${rememberUnused('step', interaction)},
    closed as (select from step)
    select from closed`.execute(db);
}
