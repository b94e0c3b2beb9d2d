/**
 * Lists of tasks page by an index whatever they are filtered by, also past the tasks that a direct answer hides. Each
 * list is merged from those of the states (shared/db/list-tasks.ts), so that two indexes do for all filters.
 */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  await sql`drop index tasks_by_owner, tasks_by_state, tasks_by_context`.execute(db);
  await sql`
    create index tasks_by_owner on tasks (tenant, owner, (shown or not direct), state, status_at desc, id desc)`.execute(
    db,
  );
  await sql`
    create index tasks_by_context
      on tasks (tenant, owner, context_id, (shown or not direct), state, status_at desc, id desc)`.execute(
    db,
  );
}
