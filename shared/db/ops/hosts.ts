/** The hosts of receivers that fail now, for operators: found by the deliveries that wait. */
import { sql } from 'kysely';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';

/** Pending deliveries that are examined. */
const maxExamined = 10_000;
const maxHosts = 100;

export interface HostView {
  host: string;
  /** Webhooks and owners with failed deliveries that wait for a retry. */
  webhooks: number;
  owners: number;
  deliveries: number;
  oldestCreatedAt: string;
}

/** Those with the most deliveries first. */
export async function readFailingHosts(db: Db): Promise<HostView[]> {
  const { rows } = await sql<HostView>`
    select substring(c.url from '^[a-z]+://([^/?#]+)') as host,
      count(distinct (c.task_id, c.id))::int as webhooks, count(distinct c.owner)::int as owners,
      count(*)::int as deliveries, ${isoTime(sql`min(d.created_at)`)} as "oldestCreatedAt"
    from (
      select * from deliveries where state = 'pending' order by wakeup_at limit ${sql.lit(maxExamined)}
    ) d
    join webhook_configs c on c.task_id = d.task_id and c.id = d.config_id
    where d.failures > 0
    group by 1 order by deliveries desc, host limit ${sql.lit(maxHosts)}`.execute(db);
  return rows;
}
