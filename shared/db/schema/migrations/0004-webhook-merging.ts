/** What waited for a webhook may be told by the delivery of a later event, which then tells of all from that event on. */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  await sql`alter table deliveries add column merged_from integer`.execute(db);
}
