/** What became of the deliveries of a task. */
import type { Db } from '#shared/db/client/pool.ts';
import { until } from './webhooks.ts';

export async function deliveriesOf(db: Db, taskId: string) {
  return db.selectFrom('deliveries').selectAll().where('task_id', '=', taskId).orderBy('seq').execute();
}

/** `[event, state, attempts]` of each. */
export async function statesOf(db: Db, taskId: string): Promise<[number, string, number][]> {
  return (await deliveriesOf(db, taskId)).map(({ seq, state, attempts }) => [seq, state, attempts]);
}

/** Resolves when none is pending any more. */
export function untilSettled(db: Db, taskId: string): Promise<void> {
  return until(async () => (await statesOf(db, taskId)).every(([, state]) => state !== 'pending'));
}

export async function attemptsOf(db: Db, ...taskIds: string[]) {
  return db
    .selectFrom('delivery_attempts')
    .selectAll()
    .where('task_id', 'in', taskIds)
    .orderBy('started_at')
    .execute();
}

export async function configOf(db: Db, taskId: string) {
  return db.selectFrom('webhook_configs').selectAll().where('task_id', '=', taskId).executeTakeFirstOrThrow();
}
