/** The last call of another agent before a turn, which a gateway continues (docs/develop/gateway.md). */
import { sql } from 'kysely';
import type { AgentWait } from '../../domain/wait.ts';
import type { Db } from '../client/pool.ts';
import { newestBefore } from '../turns/history/exchanges.ts';
import type { Lease } from '../turns/leases.ts';

/** Turns of the context that are searched, the newest first. */
const maxTurns = 50;

export interface EarlierCall {
  /** Our task. */
  taskId: string;
  wait: AgentWait;
}

/**
 * Returns the last call under a name among the newest turns of the context before this one; undefined if there is none.
 *
 * @param contextKey see tasks/context-key.ts
 */
export async function readEarlierCall(
  db: Db,
  { taskId, turn }: Lease,
  contextKey: string,
  name: string,
): Promise<EarlierCall | undefined> {
  const start = {
    contextKey: sql`${contextKey}::uuid`,
    taskId: sql`${taskId}::uuid`,
    turn: sql`${turn}::int`,
  };
  const { rows } = await sql<EarlierCall>`
    select s.task_id as "taskId", s.wait
    from (select q.task_id, q.turn from messages q where ${newestBefore(start, maxTurns)}) before
      join steps s on s.task_id = before.task_id and s.turn = before.turn and s.name = ${name}
    where s.wait ->> 'kind' = 'agent'
    order by s.task_id desc, s.turn desc, s.occurrence desc limit 1`.execute(db);
  return rows[0];
}
