/** Reads the deliveries of a task, their attempts and their config. */
import type { Db } from '#shared/db/client/pool.ts';
import { waitFor } from '../wait-for.ts';

export async function readDeliveries(db: Db, taskId: string) {
  return db.selectFrom('deliveries').selectAll().where('task_id', '=', taskId).orderBy('seq').execute();
}

/** Returns `[event, state, attempts]` of each delivery. */
export async function readStates(db: Db, taskId: string): Promise<[number, string, number][]> {
  return (await readDeliveries(db, taskId)).map(({ seq, state, attempts }) => [seq, state, attempts]);
}

/** Resolves when no delivery of the task is pending. */
export async function waitForDeliveries(db: Db, taskId: string): Promise<void> {
  await waitFor('all deliveries to be settled', async () =>
    (await readStates(db, taskId)).every(([, state]) => state !== 'pending'),
  );
}

export async function readAttempts(db: Db, ...taskIds: string[]) {
  return db
    .selectFrom('delivery_attempts')
    .selectAll()
    .where('task_id', 'in', taskIds)
    .orderBy('started_at')
    .execute();
}

export async function readConfig(db: Db, taskId: string) {
  return db.selectFrom('webhook_configs').selectAll().where('task_id', '=', taskId).executeTakeFirstOrThrow();
}
