/** A task of any owner with what its turn has been asked and what it says now, for operators. */
import { sql } from 'kysely';
import type { Message } from '../../domain/message.ts';
import type { OpsTask } from '../../domain/views.ts';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { openJson, openText } from '../contents/codec.ts';

/** @returns undefined if the task does not exist */
export async function readTaskOfAnyOwner(db: Db, taskId: string): Promise<OpsTask | undefined> {
  const { rows } = await sql<{ head: OpsTask; message: Message | null; statusMessage: Message | null }>`
    select m.message, t.status_message as "statusMessage", json_strip_nulls(json_build_object(
      'taskId', t.id, 'tenant', t.tenant, 'owner', t.owner, 'contextId', t.context_id, 'state', t.state,
      'createdAt', ${isoTime(sql`t.created_at`)}, 'statusAt', ${isoTime(sql`t.status_at`)}, 'agent', t.agent_hash,
      'lastError', t.last_error, 'turn', g.turn, 'worker', g.worker, 'attempts', g.attempts, 'failures', g.failures,
      'failingSince', ${isoTime(sql`g.failing_since`)}, 'runAt', case when g.state_class = 0 then ${isoTime(sql`g.run_at`)} end,
      'deadlineAt', ${isoTime(sql`g.deadline_at`)}
    )) as head
    from tasks t join gates g on g.task_id = t.id
    left join messages m on m.task_id = t.id and m.turn = g.turn and m.role = 'user'
    where t.id = ${taskId}`.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { head } = row;
  const message = await openJson('message', taskId, row.message);
  const statusMessage = await openJson('message', taskId, row.statusMessage);
  const lastError = await openText('error', taskId, head.lastError);
  return {
    ...head,
    ...(lastError !== undefined && { lastError }),
    ...(message !== null && { message }),
    ...(statusMessage !== null && { statusMessage }),
  };
}
