/** Wakes queued turns through the outbox, so that any worker may take them. */
import { sql } from 'kysely';
import type { Wakeup } from '../../domain/wakeup.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';
import { insertTurnWakeups, toTurnWakeup, type TurnWakeupRow } from '../outbox/outbox.ts';
import type { Reconciled } from '../outbox/reconcile.ts';
import { isFree, isRunnable } from '../turns/leases.ts';
import { removeFirstTurns } from './dequeue.ts';

/**
 * Takes the first turns from a queue and wakes them. A worker without room puts them back, to their place.
 *
 * @param queue.count maximum number of turns
 */
export async function wakeQueuedTurns(
  db: Db,
  queue: { owner: string; count: number },
  wakeupGraceSeconds: number,
): Promise<Wakeup[]> {
  const { rows } = await sql<TurnWakeupRow>`
    with ${removeFirstTurns(queue, wakeupGraceSeconds)}
    ${insertTurnWakeups(sql`gate.ready`)}`.execute(db);
  return rows.map(toQueueWakeup);
}

/**
 * Wakes the first turn of each queue that has not been woken for the grace period, in case no worker takes it,
 * and removes empty queues.
 */
export async function wakeStalledQueues(
  db: Db,
  { limit, graceSeconds }: { limit: number; graceSeconds: number },
): Promise<Reconciled> {
  // Mostly none is late: then no transaction is opened.
  const late = await sql`select from turn_queues where wake_at < now() limit 1`.execute(db);
  if (late.rows.length === 0) return { wakeups: [], examined: 0 };
  return runTransaction(db, async (trx) => {
    // The next statement sees every turn that was put into these queues before they were locked.
    const { rows } = await sql<{ owner: string }>`
      select owner from turn_queues where wake_at < now()
      order by wake_at limit ${limit} for update skip locked`.execute(trx);
    const owners = rows.map(({ owner }) => owner);
    if (owners.length === 0) return { wakeups: [], examined: 0 };
    await sql`
      with queue as (
        select owner, exists (select from queued_turns q where q.owner = o.owner) as filled
        from unnest(${owners}::text[]) as o (owner)
      ),
      emptied as (
        delete from turn_queues t using queue where t.owner = queue.owner and not queue.filled
      )
      update turn_queues t set wake_at = now() + ${seconds(graceSeconds)}
      from queue where t.owner = queue.owner and queue.filled`.execute(trx);
    return { wakeups: await wakeHeads(trx, owners), examined: owners.length };
  });
}

/** Wakes the first turn of each queue that can be claimed. It stays in its queue, so that it keeps its place. */
async function wakeHeads(db: Db, owners: readonly string[]): Promise<Wakeup[]> {
  const { rows } = await sql<TurnWakeupRow>`
    with gate as (
      select first.* from unnest(${owners}::text[]) as o (owner) cross join lateral (
        select q.task_id, g.turn from queued_turns q join gates g on g.task_id = q.task_id
        where q.owner = o.owner and ${isRunnable} and g.run_at <= now() and ${isFree}
        order by q.priority desc, q.task_id limit 1
      ) first
    )
    ${insertTurnWakeups()}`.execute(db);
  return rows.map(toQueueWakeup);
}

function toQueueWakeup(row: TurnWakeupRow): Wakeup {
  return { ...toTurnWakeup(row), fromQueue: true };
}
