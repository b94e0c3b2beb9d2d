/** Reads what is stored for an owner, for its export. Secrets are left out, and files are base64. */
import { sql, type RawBuilder } from 'kysely';
import type { JsonObject } from '../../domain/message.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted } from '../contents/codec.ts';
import { openTaskExport, openTemplate } from '../contents/export.ts';
import { selectAttempts } from '../webhooks/attempts/log.ts';

/** Returns the tasks of an owner in all tenants after a task, by id. */
export async function listOwnerTasks(
  db: Db,
  owner: string,
  after: string | undefined,
  limit: number,
): Promise<string[]> {
  let query = db.selectFrom('tasks').select('id').where('owner', '=', owner);
  if (after !== undefined) query = query.where('id', '>', after);
  return (await query.orderBy('id').limit(limit).execute()).map(({ id }) => id);
}

/** The rows of a task by table. */
const taskTables: Readonly<Record<string, RawBuilder<unknown>>> = {
  messages: sql`select turn, role, message, created_at from messages`,
  events: sql`select seq, kind, payload, created_at from events`,
  artifacts: sql`select artifact_id, artifact from artifacts`,
  steps: sql`select turn, name, occurrence, output, started_at, finished_at from steps`,
  files: sql`select hash, media_type, filename, encode(content, 'base64') as content from files`,
  webhooks: sql`select id, url, events, created_at, disabled_at from webhook_configs`,
  deliveries: sql`select config_id, seq, state, created_at, settled_at from deliveries`,
  attempts: sql`select config_id, seq, attempt, started_at, status, error, response_start
    from ${selectAttempts(sql`a.task_id = t.id`)} attempts`,
};

/** @returns undefined if the task does not exist */
export async function readTaskExport(db: Db, taskId: string): Promise<JsonObject | undefined> {
  const columns = Object.entries(taskTables).map(
    ([name, rows]) =>
      sql`(select coalesce(json_agg(r), '[]') from (${rows} where task_id = t.id) r) as ${sql.ref(name)}`,
  );
  const { rows } = await sql<JsonObject>`
    select t.id, t.tenant, t.owner, t.context_id, t.state, t.status_at, t.status_message, t.created_at, t.metadata, t.usage,
      ${sql.join(columns)}
    from tasks t where t.id = ${taskId}`.execute(db);
  const [row] = rows;
  return row === undefined || !areContentsEncrypted() ? row : openTaskExport(taskId, row);
}

/** The rows of an owner that belong to none of its tasks. */
export async function exportOwnerRows(db: Db, owner: string): Promise<JsonObject[]> {
  const { rows } = await sql<{ line: JsonObject }>`
    select json_build_object('type', 'schedule', 'schedule', s) as line from (
      select tenant, id, cron, time_zone, every_seconds, overlap, paused, template, created_at from schedules where owner = ${owner}
    ) s
    union all select json_build_object('type', 'usage', 'usage', l) from (select * from ledger where owner = ${owner}) l
    union all select json_build_object('type', 'limits', 'limits', o) from (
      select limits, updated_at from owner_limits where owner = ${owner}
    ) o`.execute(db);
  return Promise.all(rows.map(({ line }) => openTemplate(owner, line)));
}
