/**
 * The queues of owners: turns that no worker may start yet, because their owner uses its share of the workers,
 * or has reached its limit.
 *
 *   wake-up ─▶ no room ─▶ enqueue ─▶ queued_turns ─▶ dequeue, when a turn of the owner ends ─▶ claim
 *                                                 └▶ wake, if no worker takes it            ─▶ wake-up
 *
 * Queued turns hold no messages of Pub/Sub, so they do not delay the wake-ups of other owners. A queued turn
 * is runnable and not leased. It may stay in the queue when that changes (a cancel, a deadline, a claim by
 * another wake-up): the gate decides when the turn is taken from the queue.
 *
 * Locks are taken in one order (the gate, the queued turn, the queue), or skipped if another process has
 * them.
 */
import { sql } from 'kysely';
import { createBatcher } from '../client/batcher.ts';
import { fewRows, seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { rows, uuid } from '../client/rows.ts';
import { isFree, isRunnable } from '../turns/leases.ts';

/**
 * When the reconciler finds a queued turn by itself: much later than its queue wakes it, so that it does not
 * keep waking turns that have no room.
 */
const lateAfter = sql`interval '1 hour'`;

/** Puts a turn into the queue of its owner. Does nothing if the turn cannot be claimed now. */
export type EnqueueTurn = (taskId: string) => Promise<void>;

/** @param options.wakeupGraceSeconds when the first turn of a new queue is woken if no worker has taken it */
export function createEnqueue(db: Db, options: { wakeupGraceSeconds: number }): EnqueueTurn {
  return createBatcher(
    async (taskIds: readonly string[]) => {
      await enqueue(db, taskIds, options.wakeupGraceSeconds);
      return taskIds.map(() => undefined);
    },
    { max: 500, lanes: 2, key: (taskId) => taskId },
  );
}

async function enqueue(db: Db, taskIds: readonly string[], wakeupGraceSeconds: number): Promise<void> {
  await sql`-- prepared
    with input as (
      ${rows('input', taskIds.toSorted(), { task_id: uuid((taskId) => taskId) })} ${fewRows(taskIds.length)}
    ),
    -- Joined with itself: otherwise a plan made for an empty table would scan it.
    gate as (
      update gates g set wakeup_at = now() + ${lateAfter}
      from input join gates seen on seen.task_id = input.task_id
      where g.task_id = input.task_id and ${isRunnable} and g.run_at <= now()
        and ${isFree}
      returning g.task_id, g.priority
    ),
    queued as (
      insert into queued_turns (task_id, owner, priority)
      select gate.task_id, t.owner, gate.priority from gate join tasks t on t.id = gate.task_id
      on conflict (task_id) do nothing
      returning owner
    )
    -- Locks the queue, so that it is not removed as empty at the same time.
    insert into turn_queues (owner, wake_at)
    select distinct owner, now() + ${seconds(wakeupGraceSeconds)} from queued order by owner
    on conflict (owner) do update set wake_at = turn_queues.wake_at`.execute(db);
}

/** Returns up to `limit` owners with queued turns, those whose queues were woken least recently first. */
export async function readQueueOwners(db: Db, limit: number): Promise<string[]> {
  const found = await db.selectFrom('turn_queues').select('owner').orderBy('wake_at').limit(limit).execute();
  return found.map(({ owner }) => owner);
}
