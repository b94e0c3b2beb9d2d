/**
 * Finds work whose wake-up is late and writes a new one (invariant 2). This is the last resort if wake-ups
 * were lost, or the processes that should have published them died. Safe in many processes at once: rows that
 * one of them examines are skipped by the others, and a row with a new wake-up is not late again until its
 * grace period has passed.
 */
import { sql } from 'kysely';
import type { Wakeup } from '../../domain/wakeup.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { isFree } from '../turns/leases.ts';
import { insertOutbox, insertTurnWakeups, toTurnWakeup, type TurnWakeupRow } from './outbox.ts';
import { databaseNow } from '../../runtime/clock.ts';

/** The result of one pass. */
export interface Reconciled {
  wakeups: Wakeup[];
  /** Number of late rows. If it equals the limit, there may be more. */
  examined: number;
}

interface Limits {
  limit: number;
  graceSeconds: number;
}

/**
 * Wakes runnable tasks that have no live lease. Those that may start within `aheadSeconds` are included: this process
 * publishes their wake-ups when their time has come, so that they do not start late by the interval of its passes.
 */
export async function wakeStalledTurns(
  db: Db,
  { limit, graceSeconds, aheadSeconds = 0 }: Limits & { aheadSeconds?: number },
): Promise<Reconciled> {
  const { rows } = await sql<TurnWakeupRow & { due_at: Date }>`
    with stalled as (
      select g.task_id from gates g
      where g.state_class = 0 and g.wakeup_at < now() + ${seconds(aheadSeconds)} and ${isFree}
        -- A task that is delayed has its wake-up at its start.
        and case when g.run_at > now() then g.wakeup_at = g.run_at else g.wakeup_at < now() end
      order by g.wakeup_at limit ${limit} for update skip locked
    ),
    gate as (
      update gates g set wakeup_at = greatest(g.run_at, now()) + ${seconds(graceSeconds)}
      from stalled where g.task_id = stalled.task_id
      returning g.task_id, g.turn, g.run_at
    )
    ${insertTurnWakeups(sql`true`, sql`greatest(gate.run_at, now())`)}, due_at`.execute(db);
  const wakeups = rows.map((row) => ({ ...toTurnWakeup(row), notBefore: row.due_at }));
  return { wakeups, examined: rows.length };
}

/** Pending deliveries whose wake-up is late. */
export const lateDeliveries = sql`deliveries where state = 'pending' and wakeup_at < now() order by wakeup_at`;

/**
 * Wakes deliveries that are pending although nothing blocks them, once for each config. A delivery that waits
 * for its retry, or for an attempt in flight, is examined again after that. A delivery that can no longer be
 * sent is settled: its config was deleted, or was disabled while the delivery was being written.
 */
export async function wakeStalledDeliveries(db: Db, { limit, graceSeconds }: Limits): Promise<Reconciled> {
  const { rows } = await sql<{ examined: number; id: string | null; task_id: string; config_id: string }>`
    with stalled as (
      select task_id, config_id, seq, lease_until, due_at from ${lateDeliveries} limit ${limit} for update skip locked
    ),
    -- All events of an ordered config wait for its attempt in flight and for the retry of its head; tests do not. This
    -- reads the whole queue, because the head may not be among the stalled deliveries.
    queue as (
      select d.task_id, d.config_id, max(d.lease_until) as lease_until, max(d.due_at) as due_at
      from deliveries d join webhook_configs c on c.task_id = d.task_id and c.id = d.config_id and c.ordered
      where d.state = 'pending' and d.seq > 0 and (d.task_id, d.config_id) in (select task_id, config_id from stalled)
      group by d.task_id, d.config_id
    ),
    -- free_at: when nothing blocks the delivery any more.
    examined as (
      select stalled.task_id, stalled.config_id, stalled.seq, c.id is null as deleted, c.disabled_at is not null as disabled,
        greatest(queue.lease_until, queue.due_at, stalled.lease_until, stalled.due_at, now()) as free_at
      from stalled left join webhook_configs c on c.task_id = stalled.task_id and c.id = stalled.config_id
      left join queue on queue.task_id = stalled.task_id and queue.config_id = stalled.config_id and stalled.seq > 0
    ),
    -- Deliveries that can no longer be sent.
    settled as (
      update deliveries d
      set state = case when examined.deleted then 'cancelled' else 'failed' end, settled_at = now()
      from examined
      where d.task_id = examined.task_id and d.config_id = examined.config_id and d.seq = examined.seq
        and (examined.deleted or examined.disabled)
    ),
    -- The others are not late again until they are free and the grace period has passed.
    postponed as (
      update deliveries d set wakeup_at = examined.free_at + ${seconds(graceSeconds)}
      from examined
      where d.task_id = examined.task_id and d.config_id = examined.config_id and d.seq = examined.seq
        and not (examined.deleted or examined.disabled)
    ),
    free_config as (
      select distinct task_id, config_id from examined where not (deleted or disabled) and free_at <= now()
    ),
    wakeup as (
      ${insertOutbox({ kind: 'delivery', from: sql`free_config` })}
      returning id, task_id, config_id
    )
    -- Returns one row with null columns if there are no wake-ups, for the count.
    select (select count(*) from stalled)::int as examined, wakeup.id, wakeup.task_id, wakeup.config_id
    from (select) single_row left join wakeup on true`.execute(db);
  const wakeups = rows.flatMap((row): Wakeup[] =>
    row.id === null
      ? []
      : [
          {
            id: row.id,
            kind: 'delivery',
            taskId: row.task_id,
            configId: row.config_id,
            dueAt: new Date(databaseNow()),
          },
        ],
  );
  return { wakeups, examined: rows[0]?.examined ?? 0 };
}
