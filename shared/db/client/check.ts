/** Whether the database answers, for readiness. */
import { sql } from 'kysely';
import type { Db } from './pool.ts';

/** @throws what the database or the way to it says */
export async function checkDatabase(db: Db): Promise<void> {
  await sql`select 1`.execute(db);
}
