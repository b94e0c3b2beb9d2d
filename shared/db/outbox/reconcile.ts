/**
 * Finds work whose wakeup is overdue and writes a new one (invariant 2): the last resort when wakeups, or the processes that
 * should have rung them, were lost. Safe from many processes at once: a row that one of them looks at is skipped by
 * the others, and a row that was rung for is not overdue again before its grace has passed.
 */
import { sql } from 'kysely';
import { freshClaim } from './outbox.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Db } from '../client/pool.ts';

export interface Overdue {
  wakeups: Wakeup[];
  /** Rows looked at; as many as the limit: there may be more. */
  looked: number;
}

interface Limits {
  limit: number;
  graceSeconds: number;
}

/** Runnable tasks that nobody runs. */
export async function wakeStalledTurns(db: Db, { limit, graceSeconds }: Limits): Promise<Overdue> {
  const { rows } = await sql<{ id: string; task_id: string; turn: number; traceparent: string | null }>`
    with overdue as (
      select task_id from gates
      where state_class = 0 and wakeup_at < now() and run_at <= now() and (lease_until is null or lease_until < now())
      order by wakeup_at limit ${limit} for update skip locked
    ),
    gate as (
      update gates g set wakeup_at = now() + ${graceSeconds} * interval '1 second'
      from overdue where g.task_id = overdue.task_id
      returning g.task_id, g.turn
    )
    insert into outbox (kind, task_id, turn, claimed_until, traceparent)
    select 'turn', gate.task_id, gate.turn, now() + ${freshClaim}, t.traceparent
    from gate join tasks t on t.id = gate.task_id
    returning id, task_id, turn, traceparent`.execute(db);
  const wakeups = rows.map((row): Wakeup => ({
    id: row.id,
    kind: 'turn',
    taskId: row.task_id,
    turn: row.turn,
    traceparent: row.traceparent,
  }));
  return { wakeups, looked: rows.length };
}

/**
 * Deliveries that wait though their config could be tried: one wakeup for each config. What waits for a later attempt, or
 * behind an attempt under way, is looked at again after that. A delivery that was made while its config was being
 * disabled is settled.
 */
export async function wakeStalledDeliveries(db: Db, { limit, graceSeconds }: Limits): Promise<Overdue> {
  const grace = sql`${graceSeconds} * interval '1 second'`;
  const { rows } = await sql<{ looked: number; id: string | null; task_id: string; config_id: string }>`
    with overdue as (
      select task_id, config_id, seq, lease_until, due_at from deliveries
      where state = 'pending' and wakeup_at < now() order by wakeup_at limit ${limit} for update skip locked
    ),
    -- All deliveries of an ordered config wait for its attempt in flight, and for the retry of its head.
    queue as (
      select d.task_id, d.config_id, max(d.lease_until) as lease_until, max(d.due_at) as due_at
      from deliveries d join webhook_configs c on c.task_id = d.task_id and c.id = d.config_id and c.ordered
      where d.state = 'pending' and (d.task_id, d.config_id) in (select task_id, config_id from overdue)
      group by d.task_id, d.config_id
    ),
    look as (
      select overdue.task_id, overdue.config_id, overdue.seq, c.id is null as gone, c.disabled_at is not null as disabled,
        greatest(queue.lease_until, queue.due_at, overdue.lease_until, overdue.due_at, now()) as free_at
      from overdue left join webhook_configs c on c.task_id = overdue.task_id and c.id = overdue.config_id
      left join queue on queue.task_id = overdue.task_id and queue.config_id = overdue.config_id
    ),
    settled as (
      update deliveries d set state = case when look.gone then 'cancelled' else 'failed' end, settled_at = now()
      from look
      where d.task_id = look.task_id and d.config_id = look.config_id and d.seq = look.seq
        and (look.gone or look.disabled)
    ),
    moved as (
      update deliveries d set wakeup_at = look.free_at + ${grace}
      from look
      where d.task_id = look.task_id and d.config_id = look.config_id and d.seq = look.seq
        and not (look.gone or look.disabled)
    ),
    wakeup as (
      insert into outbox (kind, task_id, config_id, claimed_until)
      select distinct 'delivery', task_id, config_id, now() + ${freshClaim} from look
      where not (gone or disabled) and free_at <= now()
      returning id, task_id, config_id
    )
    select (select count(*) from overdue)::int as looked, wakeup.id, wakeup.task_id, wakeup.config_id
    from (select) one left join wakeup on true`.execute(db);
  const wakeups = rows.flatMap((row): Wakeup[] =>
    row.id === null
      ? []
      : [{ id: row.id, kind: 'delivery', taskId: row.task_id, configId: row.config_id, dueAt: new Date() }],
  );
  return { wakeups, looked: rows[0]?.looked ?? 0 };
}
