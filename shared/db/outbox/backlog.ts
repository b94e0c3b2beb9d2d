/**
 * The backlog, for metrics: how much work waits, and for how long. Each worker and dispatcher reads it about
 * once a minute. Counts stop at 10,000.
 */
import { sql, type RawBuilder } from 'kysely';
import type { Gauge } from '../../runtime/instruments.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { isFree } from '../turns/leases.ts';

const maxCounted = 10_000;

/** Workers look at the queue of their versions more often. */
const unservedSeconds = 30;

export const backlogGauges = [
  'turnsWaiting',
  'turnsWaitingAge',
  'turnsLeased',
  'turnsDelayed',
  'turnsQueued',
  'ownersLimited',
  'turnsUnserved',
  'turnsStalledAge',
  'outboxAge',
  'webhooksPending',
  'webhooksStalledAge',
] as const satisfies readonly Gauge[];

/** Counts, and the age of the oldest item in seconds, or 0 if there is none. */
export type Backlog = Record<(typeof backlogGauges)[number], number>;

export async function readBacklog(db: Db): Promise<Backlog> {
  const { rows } = await sql<Backlog>`
    with runnable as (
      select task_id, run_at, wakeup_at, not ${isFree} as leased, run_at > now() as delayed
      from gates g where state_class = 0 order by wakeup_at limit ${maxCounted}
    ),
    limited_queue as (
      select owner from turn_queues where limited_until > now() limit ${maxCounted}
    ),
    -- More workers would not start the turns of an owner that has reached its limit, or of another version of the agent.
    gate as (
      select runnable.*,
        not (leased or delayed or limited_queue.owner is not null or v.task_id is not null) as waiting
      from runnable left join queued_turns q on q.task_id = runnable.task_id
      left join limited_queue on limited_queue.owner = q.owner
      left join version_queue v on v.task_id = runnable.task_id
    ),
    queued as (
      select from queued_turns limit ${maxCounted}
    ),
    unserved as (
      select from version_queue where queued_at < now() - ${seconds(unservedSeconds)} limit ${maxCounted}
    ),
    unpublished as (
      select claimed_until from outbox where claimed_until < now() order by id limit ${maxCounted}
    ),
    webhook as (
      select wakeup_at from deliveries where state = 'pending' order by wakeup_at limit ${maxCounted}
    ),
    turns as (
      select count(*) filter (where waiting) as waiting, count(*) filter (where leased) as leased,
        count(*) filter (where delayed and not leased) as delayed,
        min(run_at) filter (where waiting) as waiting_since,
        min(wakeup_at) filter (where not leased and not delayed and wakeup_at < now()) as stalled_since
      from gate
    )
    select turns.waiting::int as "turnsWaiting", turns.leased::int as "turnsLeased", turns.delayed::int as "turnsDelayed",
      ${age(sql`turns.waiting_since`)} as "turnsWaitingAge", ${age(sql`turns.stalled_since`)} as "turnsStalledAge",
      ${age(sql`(select min(claimed_until) from unpublished)`)} as "outboxAge",
      (select count(*) from queued)::int as "turnsQueued",
      (select count(*) from limited_queue)::int as "ownersLimited",
      (select count(*) from unserved)::int as "turnsUnserved",
      (select count(*) from webhook)::int as "webhooksPending",
      ${age(sql`(select min(wakeup_at) from webhook where wakeup_at < now())`)} as "webhooksStalledAge"
    from turns`.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error('an aggregate returned no row');
  return row;
}

function age(since: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`coalesce(extract(epoch from now() - ${since}), 0)::float8`;
}
