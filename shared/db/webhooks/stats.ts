/** Figures about webhooks for operators, over all owners. */
import { sql } from 'kysely';
import type { Db } from '../client/pool.ts';
import { selectAttempts } from './attempts/log.ts';

export interface DeliveryStats {
  pending: number;
  /** The age of the oldest pending delivery, or null if there is none. */
  oldestPendingSeconds: number | null;
  disabledConfigs: number;
  /** At most 50 hosts of receivers, those with the most failures first. */
  hosts: { host: string; attempts: number; failed: number; p95Ms: number }[];
}

const maxHosts = 50;

/** @param hours how far back attempts are counted */
export async function readDeliveryStats(db: Db, hours: number): Promise<DeliveryStats> {
  const waiting = await sql<{ pending: number; oldest: number | null; disabled: number }>`
    select count(*)::int as pending, extract(epoch from now() - min(created_at))::int as oldest,
      (select count(*) from webhook_configs where disabled_at is not null)::int as disabled
    from deliveries where state = 'pending'`.execute(db);
  const hosts = await sql<{ host: string; attempts: number; failed: number; p95_ms: number }>`
    select substring(c.url from '^[a-z]+://([^/?#]+)') as host, count(*)::int as attempts,
      (count(*) filter (where a.status is null or a.status not between 200 and 299))::int as failed,
      (percentile_disc(0.95) within group (order by a.duration_ms))::int as p95_ms
    from ${selectAttempts(sql`a.started_at > now() - ${hours} * interval '1 hour'`)} a
    join webhook_configs c on c.task_id = a.task_id and c.id = a.config_id
    group by 1 order by failed desc, attempts desc limit ${maxHosts}`.execute(db);
  const [row] = waiting.rows;
  return {
    pending: row?.pending ?? 0,
    oldestPendingSeconds: row?.oldest ?? null,
    disabledConfigs: row?.disabled ?? 0,
    hosts: hosts.rows.map(({ p95_ms: p95Ms, ...host }) => ({ ...host, p95Ms })),
  };
}
