/** The quotas of models, for operators. */
import { sql } from 'kysely';
import type { Db } from '../client/pool.ts';

export interface ModelView {
  model: string;
  /** Seconds until a new call may start: 0 unless the quota is used up, or the model asked for a pause. */
  waitSeconds: number;
  /** Tasks that are parked for it. */
  parked: number;
}

export async function readModels(db: Db): Promise<ModelView[]> {
  const { rows } = await sql<ModelView>`
    select q.model,
      greatest(0, extract(epoch from greatest(q.requests_at, q.tokens_at) - now()))::float8 as "waitSeconds",
      (
        select count(*)::int from quota_places p join gates g on g.task_id = p.task_id
        where p.model = q.model and g.state_class = 0 and g.run_at > now()
      ) as parked
    from model_quotas q order by "waitSeconds" desc, q.model`.execute(db);
  return rows;
}
