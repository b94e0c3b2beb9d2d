/**
 * Large files of tasks: stored once for each task by the hash of their content, named in messages, artifacts and events
 * by their address. Not shared between tasks: removal goes by task id like that of everything else, and nobody can learn
 * by trying what others have stored.
 */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    create table files (
      task_id uuid not null,
      hash text not null,
      media_type text not null,
      filename text,
      content bytea not null,
      created_at timestamptz not null default now(),
      primary key (task_id, hash)
    )`.execute(db);
  // Images and the like are compressed already.
  await sql`alter table files alter column content set storage external`.execute(db);
}
