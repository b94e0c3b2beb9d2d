/**
 * Polls of calls of the model that run at Google, apart from their turns: one statement takes all calls that are due, so a
 * thousand calls cost the database as much as one. A call whose text is streamed is polled by its turn instead.
 */
import { sql } from 'kysely';
import { interactionStep, pollSeconds } from '../../domain/wait.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { isRunnable } from '../turns/leases.ts';

/** A call that is due for a poll. */
export interface DueCall {
  /** Names its wait. */
  token: string;
  /** The id of the call at Google. */
  interaction: string;
}

/** The open waits `s` for calls that are polled apart from their turns. */
const isPolled = sql`s.wait ->> 'kind' = 'model' and s.wait ->> 'streams' is null and s.finished_at is null`;

/** The identity of a step, for a join of `s` with its locked row. */
const isLocked = sql`s.task_id = locked.task_id and s.turn = locked.turn and s.name = locked.name
      and s.occurrence = locked.occurrence`;

/**
 * Returns calls that are due, and makes each due again later, after half of its age (see getPollSeconds). Another worker does
 * not get them meanwhile. Calls whose turns run, or have ended, are left out.
 */
export async function claimDueCalls(db: Db, limit: number): Promise<DueCall[]> {
  const { rows } = await sql<DueCall>`
    with locked as (
      select s.task_id, s.turn, s.name, s.occurrence, coalesce(s.wait ->> 'interaction', created.interaction) as interaction
      from steps s
        join gates g on g.task_id = s.task_id and g.turn = s.turn and ${isRunnable} and g.lease_until is null
        left join steps created on created.task_id = s.task_id and created.turn = s.turn
          and created.name = ${interactionStep} and created.occurrence = s.occurrence
      where ${isPolled} and s.due_at < now() and coalesce(s.wait ->> 'interaction', created.interaction) is not null
      order by s.due_at limit ${limit} for no key update of s skip locked
    )
    update steps s set due_at = now() + least(
      ${seconds(pollSeconds.longest)}, greatest(${seconds(pollSeconds.shortest)}, (now() - s.started_at) / 2))
    from locked where ${isLocked}
    returning s.token, locked.interaction`.execute(db);
  return rows;
}

/** The time between two of the polls that are brought forward, so that they do not all come at once. */
const spreadSeconds = 0.02;
/** The others are due before their turn would come. */
const maxForward = pollSeconds.longest / spreadSeconds;

/**
 * Makes calls due soon, one after the other: the webhooks of those that have ended may have found no api, and Google
 * repeats them at intervals that grow. An api does this when it starts.
 */
export async function bringPollsForward(db: Db): Promise<void> {
  await sql`
    with locked as (
      select s.task_id, s.turn, s.name, s.occurrence, s.due_at from steps s
      where ${isPolled} and s.due_at > now()
      order by s.due_at limit ${sql.lit(maxForward)} for no key update of s skip locked
    ),
    placed as (
      select locked.*, row_number() over (order by due_at) as place from locked
    )
    update steps s set due_at = least(s.due_at, now() + ${seconds(sql`(locked.place - 1) * ${sql.lit(spreadSeconds)}`)})
    from placed as locked where ${isLocked}`.execute(db);
}
