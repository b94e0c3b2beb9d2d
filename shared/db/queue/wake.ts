/** Wakes queued turns through the outbox, so that any worker may take them. */
import { sql } from 'kysely';
import type { Wakeup } from '../../domain/wakeup.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { insertOutbox, toTurnWakeup, turnWakeupColumns, type TurnWakeupRow } from '../outbox/outbox.ts';
import type { Reconciled } from '../outbox/reconcile.ts';
import { removeFirstTurns } from './dequeue.ts';

interface Queue {
  owner: string;
  /** Maximum number of turns to wake. */
  count: number;
}

/** Wakes the first turns of a queue. They may return to the queue, to their place. */
export async function wakeQueuedTurns(db: Db, queue: Queue, wakeupGraceSeconds: number): Promise<Wakeup[]> {
  return wakeFirst(db, [queue], wakeupGraceSeconds);
}

/**
 * Wakes the first turn of each queue that has not been woken for the grace period, in case no worker takes it,
 * and removes empty queues.
 */
export async function wakeStalledQueues(
  db: Db,
  { limit, graceSeconds }: { limit: number; graceSeconds: number },
): Promise<Reconciled> {
  return db.transaction().execute(async (trx) => {
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
    const queues = owners.map((owner) => ({ owner, count: 1 }));
    return { wakeups: await wakeFirst(trx, queues, graceSeconds), examined: owners.length };
  });
}

async function wakeFirst(db: Db, queues: readonly Queue[], wakeupGraceSeconds: number): Promise<Wakeup[]> {
  const { rows } = await sql<TurnWakeupRow>`
    with ${removeFirstTurns(queues, wakeupGraceSeconds)}
    ${insertOutbox({
      kind: 'turn',
      from: sql`gate join tasks t on t.id = gate.task_id where gate.ready`,
      taskId: sql`gate.task_id`,
      turn: sql`gate.turn`,
      owner: sql`gate.owner`,
      traceparent: sql`t.traceparent`,
    })}
    returning ${turnWakeupColumns}`.execute(db);
  return rows.map((row) => ({ ...toTurnWakeup(row), fromQueue: true }));
}
