/** Makes turns due now that wait for a partner, because it is back. */
import { sql } from 'kysely';
import type { TurnWakeup } from '../../domain/wakeup.ts';
import { fewRows, seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { int, rows as toRows, uuid } from '../client/rows.ts';
import { insertTurnWakeups, toTurnWakeup, type TurnWakeupRow } from './outbox.ts';
import { isRunnable } from '../turns/leases.ts';

export interface WaitingTurn {
  taskId: string;
  turn: number;
}

/** Leaves out turns that run, are due anyway, or belong to tasks that another transaction has locked. */
export async function wakeWaitingTurns(
  db: Db,
  wakeupGraceSeconds: number,
  turns: readonly WaitingTurn[],
): Promise<TurnWakeup[]> {
  const { rows } = await sql<TurnWakeupRow>`
    with input as (
      ${toRows('input', turns, { task_id: uuid((waiting) => waiting.taskId), turn: int((waiting) => waiting.turn) })}
      ${fewRows(turns.length)}
    ),
    waiting as (
      select g.task_id from input join gates g on g.task_id = input.task_id and g.turn = input.turn
      where ${isRunnable} and g.run_at > now()
      order by g.task_id for no key update of g skip locked
    ),
    gate as (
      update gates g set run_at = now(), wakeup_at = now() + ${seconds(wakeupGraceSeconds)}
      from waiting where g.task_id = waiting.task_id
      returning g.task_id, g.turn
    )
    ${insertTurnWakeups()}`.execute(db);
  return rows.map(toTurnWakeup);
}
