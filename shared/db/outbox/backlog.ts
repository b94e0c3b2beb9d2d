/**
 * How the system stands, for its metrics: what waits, and for how long. Looked at about once a minute by each worker and
 * dispatcher; counts end at a bound, beyond which a number says no more than "very many".
 */
import { sql } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import type { Gauge } from '../../runtime/instruments.ts';
import type { Db } from '../client/pool.ts';

const bound = 10_000;

export const backlogGauges = [
  'turnsWaiting',
  'turnsWaitingAge',
  'turnsLeased',
  'turnsDelayed',
  'turnsStalledAge',
  'outboxAge',
  'webhooksPending',
  'webhooksStalledAge',
] as const satisfies readonly Gauge[];

/** Ages in seconds; 0 where there is nothing. */
export type Statistics = Record<(typeof backlogGauges)[number], number>;

export async function readBacklog(db: Db): Promise<Statistics> {
  const { rows } = await sql<Statistics>`
    with gate as (
      select run_at, wakeup_at, coalesce(lease_until >= now(), false) as leased, run_at > now() as delayed
      from gates where state_class = ${stateClass.runnable} order by wakeup_at limit ${bound}
    ),
    wakeup as (
      select claimed_until from outbox where claimed_until < now() order by id limit ${bound}
    ),
    webhook as (
      select wakeup_at from deliveries where state = 'pending' order by wakeup_at limit ${bound}
    ),
    turns as (
      select count(*) filter (where not leased and not delayed) as waiting, count(*) filter (where leased) as leased,
        count(*) filter (where delayed and not leased) as delayed,
        min(run_at) filter (where not leased and not delayed) as waits_since,
        min(wakeup_at) filter (where not leased and not delayed and wakeup_at < now()) as overdue_since
      from gate
    )
    select turns.waiting::int as "turnsWaiting", turns.leased::int as "turnsLeased", turns.delayed::int as "turnsDelayed",
      ${age(sql`turns.waits_since`)} as "turnsWaitingAge", ${age(sql`turns.overdue_since`)} as "turnsStalledAge",
      ${age(sql`(select min(claimed_until) from wakeup)`)} as "outboxAge",
      (select count(*) from webhook)::int as "webhooksPending",
      ${age(sql`(select min(wakeup_at) from webhook where wakeup_at < now())`)} as "webhooksStalledAge"
    from turns`.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error('an aggregate without a row');
  return row;
}

function age(since: ReturnType<typeof sql>) {
  return sql`coalesce(extract(epoch from now() - ${since}), 0)::float8`;
}
