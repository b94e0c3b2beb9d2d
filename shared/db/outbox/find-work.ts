/**
 * Finds which checks of a reconciler's pass have something to do. Usually none has, and planning their statements takes
 * 15 ms of the database for each pass of each process; this one takes 1.
 */
import { sql, type RawBuilder } from 'kysely';
import { endedParents } from '../children/cancel.ts';
import type { Db } from '../client/pool.ts';
import { unservedTurns } from '../queue/unserved.ts';
import { pastDeadline, unanswered } from '../tasks/expire.ts';
import { isOld } from '../tasks/retention.ts';
import { lateDeliveries } from './reconcile.ts';

export interface Work {
  expiredTasks: boolean;
  endedParents: boolean;
  unservedTurns: boolean;
  lateDeliveries: boolean;
  /** Tasks that retention may remove. */
  oldTasks: boolean;
}

/** @param options.retentionSeconds 0: tasks are kept */
export async function findWork(
  db: Db,
  {
    interruptedExpirySeconds,
    retentionSeconds,
  }: { interruptedExpirySeconds: number; retentionSeconds: number },
): Promise<Work> {
  // Ordered as the statements of the checks, so that an index serves each look: estimates may be out of date.
  const exists = (from: RawBuilder<unknown>) =>
    sql<boolean>`coalesce((select true from ${from} limit 1), false)`;
  const { rows } = await sql<Work>`
    select ${exists(pastDeadline)} or ${exists(unanswered(interruptedExpirySeconds))} as "expiredTasks",
      ${exists(endedParents)} as "endedParents", ${exists(unservedTurns)} as "unservedTurns",
      ${exists(lateDeliveries)} as "lateDeliveries",
      ${retentionSeconds > 0 ? exists(sql`gates g where ${isOld(retentionSeconds)} order by g.settled_at`) : sql`false`} as "oldTasks"`.execute(
    db,
  );
  const [work] = rows;
  if (work === undefined) throw new Error('a query without a FROM clause returned no row');
  return work;
}
