/** A task of any owner with what its turn has been asked, what it says now, and what it has produced, for operators. */
import { sql } from 'kysely';
import type { Artifact, Message } from '../../domain/message.ts';
import type { OpsTask } from '../../domain/views.ts';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { openJson, openList, openText } from '../contents/codec.ts';
import { heldJson } from '../tasks/held.ts';

/** Artifacts that are read, and their bytes together. The first one is read even if it is larger. */
const maxArtifacts = 20;
const maxArtifactsBytes = 256 * 1024;

interface Row {
  head: Omit<OpsTask, 'artifacts' | 'artifactsLeftOut'>;
  message: Message | null;
  statusMessage: Message | null;
  artifacts: Artifact[] | null;
  artifactsLeftOut: number;
}

/** @returns undefined if the task does not exist */
export async function readTaskOfAnyOwner(db: Db, taskId: string): Promise<OpsTask | undefined> {
  const { rows } = await sql<Row>`
    select m.message, t.status_message as "statusMessage", produced.*, json_strip_nulls(json_build_object(
      'taskId', t.id, 'tenant', t.tenant, 'owner', t.owner, 'contextId', t.context_id, 'state', t.state,
      'createdAt', ${isoTime(sql`t.created_at`)}, 'statusAt', ${isoTime(sql`t.status_at`)}, 'agent', t.agent_hash,
      'lastError', t.last_error, 'turn', g.turn, 'worker', g.worker, 'attempts', g.attempts, 'failures', g.failures,
      'failingSince', ${isoTime(sql`g.failing_since`)}, 'runAt', case when g.state_class = 0 then ${isoTime(sql`g.run_at`)} end,
      'deadlineAt', ${isoTime(sql`g.deadline_at`)}, 'held', ${heldJson}
    )) as head
    from tasks t join gates g on g.task_id = t.id
    cross join lateral (
      select json_agg(artifact order by place) filter (where fits) as artifacts,
        count(*) filter (where not fits)::int as "artifactsLeftOut"
      from (
        select a.artifact, row_number() over oldest as place, row_number() over oldest <= ${sql.lit(maxArtifacts)}
          and (row_number() over oldest = 1 or sum(a.bytes) over oldest <= ${sql.lit(maxArtifactsBytes)}) as fits
        from artifacts a where a.task_id = t.id
        window oldest as (order by a.seq)
      ) sized
    ) produced
    left join messages m on m.task_id = t.id and m.turn = g.turn and m.role = 'user'
    where t.id = ${taskId}`.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { head, artifactsLeftOut } = row;
  const message = await openJson('message', taskId, row.message);
  const statusMessage = await openJson('message', taskId, row.statusMessage);
  const lastError = await openText('error', taskId, head.lastError);
  return {
    ...head,
    ...(lastError !== undefined && { lastError }),
    ...(message !== null && { message }),
    ...(statusMessage !== null && { statusMessage }),
    artifacts: (await openList('artifact', taskId, row.artifacts)) ?? [],
    artifactsLeftOut,
  };
}
