/** An event knows the span in which it was written, so that the trace of its webhook can be linked to that. */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  await sql`alter table events add column traceparent text`.execute(db);
}
