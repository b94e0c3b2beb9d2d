/**
 * Removes calls that no turn waits for anymore: their reply is recorded, or their turn is over. The usage of a reply that no
 * turn has recorded is added to the ledger of its owner, once. A call in a batch at Google is kept until the batch has ended.
 */
import { sql } from 'kysely';
import type { ModelUsage } from '../../domain/usage.ts';
import type { Db } from '../client/pool.ts';
import { isRunnable } from '../turns/leases.ts';
import { insertLedgerEntries } from './ledger.ts';

/** At most this many in one statement. */
const maxOver = 500;

interface OverCall {
  id: string;
  taskId: string;
  usage: ModelUsage | null;
  isRecorded: boolean;
}

/** @returns how many; if as many as the limit, there may be more */
export async function removeOverCalls(db: Db, limit = maxOver): Promise<number> {
  const calls = await readOverCalls(db, limit);
  if (calls.length === 0) return 0;
  const used = calls.map(({ id, taskId, usage, isRecorded }) => ({
    taskId,
    name: id,
    occurrence: 0,
    ...(usage !== null && !isRecorded && { usage }),
  }));
  await sql`
    with step as (
      delete from batch_calls where id = any(${calls.map(({ id }) => id)}::uuid[])
      returning task_id, id::text as name, 0 as occurrence, token
    ),
    closed as (
      update steps s set output = '{"status":"canceled"}', finished_at = now()
      from step where s.token = step.token and s.finished_at is null
    ),
    ${insertLedgerEntries(used)}
    removed as (select from step)
    select from removed`.execute(db);
  return calls.length;
}

/** A reply is recorded by the first step of the model that its turn finishes after it. */
async function readOverCalls(db: Db, limit: number): Promise<OverCall[]> {
  const { rows } = await sql<OverCall>`
    select * from (
      select c.id, c.task_id as "taskId", c.usage, s.token is not null and exists (
          select from steps m where m.task_id = c.task_id and m.turn = c.turn and m.name = 'model'
            and m.finished_at >= c.ended_at
        ) as "isRecorded",
        s.token is null or g.task_id is null as "isOver"
      from batch_calls c left join steps s on s.token = c.token
        left join gates g on g.task_id = c.task_id and g.turn = c.turn and ${isRunnable}
      where c.ended_at is not null or c.batch_id is null
    ) candidate
    where "isOver" or "isRecorded"
    limit ${limit}`.execute(db);
  return rows;
}
