/**
 * Takes turns from the queue of an owner, within the owner's limit. A taken turn counts as woken: if its worker
 * dies before it claims the turn, the reconciler wakes it after the grace period.
 *
 * Turns of an owner with a limit are admitted by a transaction that locks the queue first. It counts the admitted
 * turns that are leased or may still be claimed, so that there are never more of them than the limit.
 * A dead worker's turns count until 15 s after their leases expire: a live worker may have lost the database, and
 * extends its leases when the database is back. Its turns count again then, however late that is.
 */
import { sql, type RawBuilder, type Transaction } from 'kysely';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';
import type { Database } from '../schema/schema.ts';
import { isFree, isRunnable, leaseUntil } from '../turns/leases.ts';

/** Longer than a claim takes: at most 5 s for a connection and 10 s for the answer (client/pool.ts), and its retry. */
const admissionSeconds = 45;
/** How long the turn of an expired lease counts. */
const expiredSeconds = 15;

export interface QueuedTurn {
  taskId: string;
  queuedAt: Date;
}

export interface Dequeued {
  /** The highest priority and then the oldest task first. */
  turns: QueuedTurn[];
  /** False if the queue is empty, the owner has reached its limit, or others are writing to these tasks. */
  mayHaveMore: boolean;
}

export interface DequeueOptions {
  owner: string;
  /** Maximum number of turns. */
  count: number;
  /** Maximum number of the owner's turns that run at the same time, on all workers; 0: no limit. */
  limit: number;
  wakeupGraceSeconds: number;
}

export async function dequeueTurns(db: Db, options: DequeueOptions): Promise<Dequeued> {
  const { owner, count, limit } = options;
  if (limit === 0) return removeFirst(db, options);
  if (!(await hasQueuedTurns(db, owner))) return { turns: [], mayHaveMore: false };
  return runTransaction(db, async (trx) => {
    // Without a row, the queue was emptied meanwhile. The statements after it see what others have admitted.
    const locked = await sql`select from turn_queues where owner = ${owner} for update`.execute(trx);
    if (locked.rows.length === 0) return { turns: [], mayHaveMore: false };
    const room = limit - (await countAdmitted(trx, owner));
    if (room > 0) return removeFirst(trx, { ...options, count: Math.min(count, room) });
    await markLimited(trx, owner);
    return { turns: [], mayHaveMore: false };
  });
}

async function hasQueuedTurns(db: Db, owner: string): Promise<boolean> {
  const found = await sql`select from queued_turns where owner = ${owner} limit 1`.execute(db);
  return found.rows.length > 0;
}

/** Counts the owner's admitted turns, and forgets those that have ended or were released. */
async function countAdmitted(trx: Transaction<Database>, owner: string): Promise<number> {
  const counted = await sql<{ admitted: number }>`
    with pending as (
      select a.task_id, ${leaseUntil} as lease_until, g.fence = a.fence and a.admitted_until > now() as claimable
      from admitted_turns a join gates g on g.task_id = a.task_id
      where a.owner = ${owner} and ${isRunnable}
    ),
    -- The holder of an expired lease may still extend it.
    kept as (select * from pending where claimable or lease_until is not null),
    ended as (
      delete from admitted_turns where owner = ${owner} and task_id not in (select task_id from kept)
    )
    select count(*)::int as admitted from kept
    where claimable or lease_until >= now() - ${seconds(expiredSeconds)}`.execute(trx);
  return counted.rows[0]?.admitted ?? 0;
}

/** Notes for 30 s, for metrics, that the limit keeps turns in the queue. Seldom, because workers look often. */
async function markLimited(trx: Transaction<Database>, owner: string): Promise<void> {
  await sql`
    update turn_queues set limited_until = now() + interval '30 seconds'
    where owner = ${owner} and coalesce(limited_until < now() + interval '15 seconds', true)`.execute(trx);
}

/** Not prepared: a plan for a short queue would read a long one, and its gates, from start to end. */
async function removeFirst(db: Db, options: DequeueOptions): Promise<Dequeued> {
  const { owner, count, limit, wakeupGraceSeconds } = options;
  const admit = sql`
    admitted as (
      insert into admitted_turns (task_id, owner, fence, admitted_until)
      select task_id, ${owner}, fence, now() + ${seconds(admissionSeconds)} from gate where ready
      on conflict (task_id) do update
        set owner = excluded.owner, fence = excluded.fence, admitted_until = excluded.admitted_until
    ),`;
  const result = await sql<{ mayHaveMore: boolean; task_id: string | null; queued_at: Date }>`
    with ${removeFirstTurns({ owner, count }, wakeupGraceSeconds)},
    ${limit === 0 ? sql`` : admit}
    taken as (select * from gate where ready)
    -- Returns one row with null columns if there are no turns.
    select (select count(*) from first) = ${count}::int and exists (select from removed) as "mayHaveMore",
      taken.task_id, taken.queued_at
    from (select) single_row left join taken on true
    order by taken.priority desc, taken.task_id`.execute(db);
  const turns = result.rows.flatMap(({ task_id: taskId, queued_at: queuedAt }) =>
    taskId === null ? [] : [{ taskId, queuedAt }],
  );
  return { turns, mayHaveMore: result.rows[0]?.mayHaveMore ?? false };
}

/**
 * Removes the first turns of a queue, as the CTE `gate`. `ready` is false if the turn cannot be claimed now; it is
 * late after the grace period anyway. A turn whose gate is being written stays in the queue.
 */
export function removeFirstTurns(
  { owner, count }: { owner: string; count: number },
  wakeupGraceSeconds: number,
): RawBuilder<unknown> {
  return sql`first as (
      select task_id from queued_turns where owner = ${owner}
      order by priority desc, task_id limit ${count} for update skip locked
    ),
    existing as (
      select task_id from gates where task_id = any(array(select task_id from first))
    ),
    unlocked as (
      select task_id from gates where task_id = any(array(select task_id from first))
      for no key update skip locked
    ),
    removed as (
      delete from queued_turns q where q.task_id = any(array(select task_id from first)) and (
        q.task_id in (select task_id from unlocked) or q.task_id not in (select task_id from existing)
      )
      returning q.task_id, q.owner, q.priority, q.queued_at
    ),
    gate as (
      update gates g
      set wakeup_at = case when g.run_at > now() then g.run_at else now() + ${seconds(wakeupGraceSeconds)} end
      from removed where g.task_id = removed.task_id and ${isRunnable}
      returning g.task_id, g.turn, g.fence, removed.owner, removed.priority, removed.queued_at,
        g.run_at <= now() and ${isFree} as ready
    )`;
}
