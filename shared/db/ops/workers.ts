/** The workers that run turns, for operators, and requests to drain one of them. */
import { sql } from 'kysely';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { leaseUntil } from '../turns/leases.ts';

/** Turns that are examined. */
const maxExamined = 10_000;
/** Requests for workers that are gone are forgotten. */
const keptHours = 1;

export interface WorkerView {
  worker: string;
  /** Turns that it runs. */
  turns: number;
  /** When it claimed the oldest of them. */
  oldestClaimedAt: string;
  /** When the first of its leases ends unless it is extended. */
  firstLeaseUntil: string;
  /** Whether it is asked to drain. */
  draining: boolean;
}

/** Workers with live leases, those with the most turns first. */
export async function readWorkers(db: Db): Promise<WorkerView[]> {
  const { rows } = await sql<WorkerView>`
    select l.worker, count(*)::int as turns, ${isoTime(sql`min(l.claimed_at)`)} as "oldestClaimedAt",
      ${isoTime(sql`min(l.lease_until)`)} as "firstLeaseUntil",
      exists (select from worker_drains d where d.worker = l.worker) as draining
    from (
      select g.worker, g.claimed_at, ${leaseUntil} as lease_until
      from gates g where g.state_class = 0 order by g.wakeup_at limit ${sql.lit(maxExamined)}
    ) l
    where l.worker is not null and l.lease_until >= now()
    group by l.worker order by turns desc, l.worker`.execute(db);
  return rows;
}

/** Asks a worker to drain. It looks for requests about every two seconds. */
export async function requestDrain(db: Db, worker: string): Promise<void> {
  await sql`
    with old as (
      delete from worker_drains where requested_at < now() - ${sql.lit(keptHours)} * interval '1 hour' and worker <> ${worker}
    )
    insert into worker_drains (worker) values (${worker})
    on conflict (worker) do update set requested_at = now()`.execute(db);
}

/** Returns whether this worker is asked to drain, and removes the request. */
export async function takeDrainRequest(db: Db, worker: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('worker_drains')
    .where('worker', '=', worker)
    .executeTakeFirstOrThrow();
  return numDeletedRows > 0n;
}
