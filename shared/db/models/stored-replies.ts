/** Replies of the model that Google stores, which a later task of the same context may continue (docs/develop/gemini.md). */
import { sql } from 'kysely';
import type { Db } from '../client/pool.ts';

export interface StoredReplyRow {
  /** The id of the call at Google. */
  interaction: string;
  model: string;
  /** See `base` of ModelResponse; null if the call lacks a part of the conversation. */
  base: number | null;
}

/**
 * Returns the last reply of a turn with which a task has completed; undefined if Google does not store it. The fields are
 * read as text: they are the last ones of the output, and the database cannot parse every JSON that a model may return.
 */
export async function readStoredReply(
  db: Db,
  { taskId, turn }: { taskId: string; turn: number },
): Promise<StoredReplyRow | undefined> {
  const { rows } = await sql<StoredReplyRow>`
    select s.interaction, coalesce(a.definition -> 'model' ->> 'name', '') as model,
      substring(right(s.output::text, 600) from '"base":([0-9]{1,9}),"interaction":"[^"\\\\]+"\\}$')::int as base
    from tasks t join agents a on a.hash = t.agent_hash
      cross join lateral (
        select s.interaction, s.output from steps s
        where s.task_id = t.id and s.turn = ${turn} and s.name = 'model' order by s.position desc limit 1
      ) s
    where t.id = ${taskId} and t.state = 'TASK_STATE_COMPLETED' and s.interaction is not null`.execute(db);
  return rows[0];
}
