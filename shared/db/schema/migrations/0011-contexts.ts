/**
 * What was said before in a context is found by the context: an index that begins with the owner looks no worse to a
 * planner who knows nothing of the table yet, and the plan that is made then goes through all tasks of the owner for each
 * turn (see prepared.ts).
 */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  await sql`drop index tasks_by_context`.execute(db);
  await sql`
    create index tasks_by_context
      on tasks (context_id, tenant, owner, (shown or not direct), state, status_at desc, id desc)`.execute(
    db,
  );
}
