/**
 * No statistics before there is something to tell: a plan that is made while the server knows a table to have two pages
 * scans it, and is kept while the table grows, until the next statistics. Of a table that it knows nothing about, the planner
 * expects ten pages, and goes by the key (see prepared.ts).
 */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  for (const table of ['gates', 'tasks']) {
    await sql`
      alter table ${sql.table(table)}
        set (autovacuum_analyze_threshold = 2000, autovacuum_vacuum_threshold = 2000)`.execute(db);
  }
}
