/**
 * Wakeups (invariant 2): rows of the outbox, written in the transaction that leaves something to do and rung after its
 * commit. `turn` wakes a worker by Pub/Sub, `delivery` the dispatcher by Cloud Tasks.
 */
import { sql } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Db } from '../client/pool.ts';

/** For how long a fresh row belongs to whoever wrote it; after that the relay takes it. */
export const freshClaim = sql`interval '2 seconds'`;

/** What the statements that write wakeups return of them. */
export interface WakeupColumns {
  wakeup_id: string | null;
  delivery_wakeups: { id: string; config_id: string }[] | null;
}

/** The wakeups of one row that a writing statement returned. */
export function toWakeups(
  row: WakeupColumns,
  taskId: string,
  turn: number,
  traceparent: string | null,
): Wakeup[] {
  const wakeups: Wakeup[] = [];
  if (row.wakeup_id !== null) wakeups.push({ id: row.wakeup_id, kind: 'turn', taskId, turn, traceparent });
  for (const { id, config_id } of row.delivery_wakeups ?? []) {
    wakeups.push({ id, kind: 'delivery', taskId, configId: config_id, dueAt: new Date() });
  }
  return wakeups;
}

/** Removes wakeups that have been rung. */
export async function deleteWakeups(db: Db, ids: readonly string[]): Promise<void> {
  await sql`delete from outbox where id = any(${ids}::bigint[])`.execute(db);
}

/**
 * Takes wakeups that nobody rang in time, for `seconds`. Safe from many processes at once: each row goes to one of them.
 */
export async function claimUnpublishedWakeups(db: Db, limit: number, seconds: number): Promise<Wakeup[]> {
  const { rows } = await sql<{
    id: string;
    kind: 'turn' | 'delivery';
    task_id: string;
    turn: number | null;
    config_id: string | null;
    due_at: Date;
    traceparent: string | null;
  }>`
    update outbox set claimed_until = now() + ${seconds} * interval '1 second'
    where id in (
      select id from outbox where claimed_until < now() order by id limit ${limit} for update skip locked
    )
    returning id, kind, task_id, turn, config_id, due_at, traceparent`.execute(db);
  return rows.map((row) =>
    row.kind === 'turn'
      ? { id: row.id, kind: 'turn', taskId: row.task_id, turn: row.turn ?? 1, traceparent: row.traceparent }
      : {
          id: row.id,
          kind: 'delivery',
          taskId: row.task_id,
          configId: row.config_id ?? '',
          dueAt: row.due_at,
        },
  );
}

/**
 * Has the reconciler ring for a task on its next look.
 *
 * @returns whether there was anything to ring for
 */
export async function requestWakeup(db: Db, taskId: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('gates')
    .set({ wakeup_at: sql`now()` })
    .where('task_id', '=', taskId)
    .where('state_class', '=', stateClass.runnable)
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}
