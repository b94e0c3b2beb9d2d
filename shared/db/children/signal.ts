/** Wakes parents whose waits for children are over. */
import { sql } from 'kysely';
import type { Wakeup } from '../../domain/wakeup.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { insertTurnWakeups, toTurnWakeup, type TurnWakeupRow } from '../outbox/outbox.ts';
import type { Reconciled } from '../outbox/reconcile.ts';
import { isRunnable } from '../turns/leases.ts';
import { isReleased, signalTurn } from '../turns/waits/signal.ts';

/** After this time the process that ended the last child has died. */
const lateSeconds = 2;

/**
 * Wakes the parents of groups right after the ends of their children. If it fails, the reconciler wakes them, so errors
 * are dropped.
 */
export async function signalParents(
  db: Db,
  options: { wakeupGraceSeconds: number },
  groups: readonly string[],
): Promise<Wakeup[]> {
  const wakeups: Wakeup[] = [];
  for (const group of groups) {
    wakeups.push(...(await signalParent(db, options, group).catch(() => [])));
  }
  return wakeups;
}

/** Wakes the parents that no process has woken. */
export async function signalLateParents(
  db: Db,
  { limit, graceSeconds }: { limit: number; graceSeconds: number },
): Promise<Reconciled> {
  const { rows } = await sql<{ id: string }>`
    select id from child_groups where signal_at < now() - ${seconds(lateSeconds)}
    order by signal_at limit ${limit}`.execute(db);
  const wakeups: Wakeup[] = [];
  for (const { id } of rows) {
    wakeups.push(...(await signalParent(db, { wakeupGraceSeconds: graceSeconds }, id)));
  }
  return { wakeups, examined: rows.length };
}

/**
 * Raises the count of signals on the gate of the parent, and makes its turn run if no worker has it; see
 * `answerCallback`. Locks the gate before the group.
 */
async function signalParent(
  db: Db,
  { wakeupGraceSeconds }: { wakeupGraceSeconds: number },
  group: string,
): Promise<Wakeup[]> {
  const { rows } = await sql<TurnWakeupRow>`
    with signaled as (
      select id, parent_id, join_turn from child_groups where id = ${group} and signal_at is not null
    ),
    gate as (
      update gates g set ${signalTurn(wakeupGraceSeconds)}
      from signaled
      where g.task_id = signaled.parent_id and g.turn = signaled.join_turn and ${isRunnable}
      returning g.task_id, g.turn, ${isReleased}
    ),
    done as (
      update child_groups cg set signal_at = null from signaled
      where cg.id = signaled.id and (select count(*) from gate) >= 0
    )
    ${insertTurnWakeups(sql`gate.is_free`)}`.execute(db);
  return rows.map(toTurnWakeup);
}
