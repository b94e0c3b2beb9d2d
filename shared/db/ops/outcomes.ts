/** How the tasks of each release of the workers have ended: the name of a worker starts with its release (WORKER_RELEASE). */
import { sql } from 'kysely';
import type { Db } from '../client/pool.ts';

export interface ReleaseOutcomes {
  release: string;
  /** Tasks that have ended, as completed, failed or rejected: cancels say nothing about a release. */
  ended: number;
  failed: number;
}

/** @param seconds tasks that have ended within this time */
export async function countOutcomes(db: Db, seconds: number): Promise<ReleaseOutcomes[]> {
  const { rows } = await sql<ReleaseOutcomes>`
    select split_part(g.worker, '/', 1) as release, count(*)::int as ended,
      (count(*) filter (where t.state = 'TASK_STATE_FAILED'))::int as failed
    from gates g join tasks t on t.id = g.task_id
    where g.state_class = 2 and g.settled_at > now() - make_interval(secs => ${seconds})
      and position('/' in g.worker) > 1 and t.state <> 'TASK_STATE_CANCELED'
    group by 1 order by 1`.execute(db);
  return rows;
}
