/** Notifications of other agents about the tasks that calls wait for. */
import { sql } from 'kysely';
import type { AgentWait } from '../../domain/wait.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Db } from '../client/pool.ts';
import { insertTurnWakeups, toTurnWakeup, type TurnWakeupRow } from '../outbox/outbox.ts';
import { isRunnable } from '../turns/leases.ts';
import { isReleased, signalTurn } from '../turns/waits/signal.ts';

/** Returns the wait of a token, and whether it is open; undefined if there is none. */
export async function readCallWait(
  db: Db,
  token: string,
): Promise<{ wait: AgentWait; isOpen: boolean } | undefined> {
  const { rows } = await sql<{ wait: AgentWait; isOpen: boolean }>`
    select wait, output is null as "isOpen" from steps
    where token = ${token} and wait ->> 'kind' = 'agent'`.execute(db);
  return rows[0];
}

/**
 * Wakes the turn of an open call if asked, which then reads the task of the other agent. A worker that runs the turn finds the
 * count of signals raised when it puts the turn back. A notification is only a hint: one that is repeated, late or early
 * changes nothing but the time of the next poll.
 *
 * @param report.task the task that the notification is about. It is kept unless the call has recorded its task: the
 *   worker may have died between the answer of the other agent and the record
 * @returns the wake-ups to publish
 */
export async function reportCall(
  db: Db,
  options: { wakeupGraceSeconds: number },
  report: { token: string; task: string; wakes: boolean },
): Promise<Wakeup[]> {
  const join = sql`target where g.task_id = target.task_id and g.turn = target.turn and ${isRunnable}`;
  const locked = report.wakes
    ? sql`update gates g set ${signalTurn(options.wakeupGraceSeconds)} from ${join}
      returning g.task_id, g.turn, ${isReleased}`
    : sql`select g.task_id, g.turn, false as is_free from gates g, ${join} for no key update of g`;
  const { rows } = await sql<TurnWakeupRow>`
    with target as (
      select task_id, turn, name, occurrence from steps
      where token = ${report.token} and wait ->> 'kind' = 'agent' and output is null
    ),
    locked as (
      ${locked}
    ),
    gate as (
      update steps s set wait = case when s.wait ->> 'task' is null
        then (s.wait::jsonb || jsonb_build_object('reported', ${report.task}::text))::json else s.wait end
      from locked join target on target.task_id = locked.task_id
      where s.task_id = target.task_id and s.turn = target.turn and s.name = target.name
        and s.occurrence = target.occurrence and s.output is null
      returning s.task_id, s.turn, locked.is_free
    )
    ${insertTurnWakeups(sql`gate.is_free`)}`.execute(db);
  return rows.map(toTurnWakeup);
}
