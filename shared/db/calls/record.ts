/** Records which task of another agent a call waits for. */
import { sql } from 'kysely';
import { LeaseLostError } from '../../domain/errors.ts';
import type { AgentWait } from '../../domain/wait.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { isRunnable, type Lease } from '../turns/leases.ts';

/**
 * Replaces the wait of an open call.
 *
 * @throws {LeaseLostError} if the turn no longer belongs to this worker; nothing was stored
 */
export async function recordCallWait(
  db: Db,
  lease: Lease,
  step: { name: string; occurrence: number },
  { wait, dueInSeconds }: { wait: AgentWait; dueInSeconds: number },
): Promise<void> {
  const { rows } = await sql`
    with gate as (
      select g.task_id, g.turn from gates g
      where g.task_id = ${lease.taskId} and g.fence = ${lease.fence} and ${isRunnable} for no key update
    )
    update steps s set wait = ${JSON.stringify(wait)}::json, due_at = now() + ${seconds(dueInSeconds)}
    from gate
    where s.task_id = gate.task_id and s.turn = gate.turn and s.name = ${step.name}
      and s.occurrence = ${step.occurrence} and s.output is null
    returning s.task_id`.execute(db);
  if (rows.length === 0) throw new LeaseLostError(`lost the lease on task ${lease.taskId}`);
}
