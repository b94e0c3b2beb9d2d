/** Reads the deliveries of a task, their attempts and their config. */
import { sql, type Selectable } from 'kysely';
import type { Db } from '#shared/db/client/pool.ts';
import type { Database } from '#shared/db/schema/schema.ts';
import { selectAttempts } from '#shared/db/webhooks/attempts/log.ts';
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
  const { rows } = await sql<Selectable<Database['delivery_attempts']>>`
    select * from ${selectAttempts(sql`a.task_id = any(${taskIds}::uuid[])`)} a order by started_at`.execute(
    db,
  );
  return rows;
}

export async function readConfig(db: Db, taskId: string) {
  return db.selectFrom('webhook_configs').selectAll().where('task_id', '=', taskId).executeTakeFirstOrThrow();
}
