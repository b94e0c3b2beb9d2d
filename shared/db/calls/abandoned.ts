/**
 * Calls of other agents that no turn waits for anymore, because their task was canceled, failed or missed its deadline.
 * Workers cancel them (worker/turn/calls/abandoned.ts).
 */
import { sql, type RawBuilder } from 'kysely';
import type { JsonObject } from '../../domain/message.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { isRunnable } from '../turns/leases.ts';

/** At most this many in one read. */
const maxAbandoned = 100;

export interface AbandonedCall {
  taskId: string;
  turn: number;
  name: string;
  occurrence: number;
  /** The name of the other agent in the definition. */
  agent: string;
  /** The other agent: its name, and the hash of the definition. */
  partner: string;
  /** The task of the other agent; null if none was recorded. */
  remoteTask: string | null;
  /** The task of the other agent that the message continues, and its conversation. For gateways. */
  continues: string | null;
  context: string | null;
  /** The definition of our task; null if it was deleted. */
  definition: JsonObject | null;
  /** Since our task has ended; 0 if it was deleted. */
  endedSecondsAgo: number;
}

/**
 * Makes the calls of ended tasks due, so that they are canceled within seconds: those that are open, and those that wait
 * for the answer of the caller. A trailing comma follows the CTE.
 *
 * @param ended rows with `task_id` and `turn`
 */
export function endCalls(ended: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    ended_call as (
      update steps s set due_at = now(), finished_at = null
      from ${ended} where s.task_id = ${ended}.task_id and s.turn = ${ended}.turn and s.wait ->> 'kind' = 'agent'
        -- Without an output. A dispatcher may not read outputs.
        and (s.bytes = 0 or s.wait ->> 'asks' = 'true')
    ),`;
}

/**
 * Returns calls that are overdue and that no turn waits for. A live turn polls when a call is due, so only overdue ones
 * are examined.
 *
 * @param except partners whose calls are left out
 */
export async function readAbandonedCalls(db: Db, except: readonly string[] = []): Promise<AbandonedCall[]> {
  const partner = sql`concat(t.agent_hash, '/', s.wait ->> 'agent')`;
  const { rows } = await sql<AbandonedCall>`
    select s.task_id as "taskId", s.turn, s.name, s.occurrence, s.wait ->> 'agent' as agent,
      ${partner} as partner, s.wait ->> 'continues' as continues, s.wait ->> 'context' as context,
      coalesce(s.wait ->> 'task', s.wait ->> 'reported') as "remoteTask", a.definition,
      coalesce(extract(epoch from now() - g.settled_at)::float8, 0) as "endedSecondsAgo"
    from steps s left join gates g on g.task_id = s.task_id left join tasks t on t.id = s.task_id
      left join agents a on a.hash = t.agent_hash
    where s.wait ->> 'kind' = 'agent' and s.finished_at is null and s.due_at < now()
      and (g.task_id is null or g.turn <> s.turn or not ${isRunnable})
      and ${partner} <> all(${except}::text[])
    order by s.due_at limit ${maxAbandoned}`.execute(db);
  return rows;
}

/** Closes an abandoned call, so that it is not read again. */
export async function closeCall(db: Db, { taskId, turn, name, occurrence }: AbandonedCall): Promise<void> {
  await sql`
    update steps set output = coalesce(output, '{"status":"canceled"}'::json), finished_at = now()
    where task_id = ${taskId} and turn = ${turn} and name = ${name} and occurrence = ${occurrence}
      and finished_at is null`.execute(db);
}

/** Lets an abandoned call be read again after a time. */
export async function postponeCall(
  db: Db,
  { taskId, turn, name, occurrence }: AbandonedCall,
  delaySeconds: number,
): Promise<void> {
  await sql`
    update steps set due_at = now() + ${seconds(delaySeconds)}
    where task_id = ${taskId} and turn = ${turn} and name = ${name} and occurrence = ${occurrence}
      and finished_at is null`.execute(db);
}
