/**
 * A send is found by its message first: an index compares its columns from the left, and tenants and owners are much the
 * same.
 */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  await sql`alter table sends drop constraint sends_pkey, add primary key (message_id, owner, tenant)`.execute(
    db,
  );
}
