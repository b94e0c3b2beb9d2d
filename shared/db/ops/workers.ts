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

/**
 * A worker that is asked to drain exits, as on SIGTERM, after which its platform starts another one, or it stays without turns until its
 * platform removes it, however long the steps of its last turns take.
 */
export type DrainKind = 'exit' | 'stay';

/** Asks workers to drain. They look for requests about every two seconds. */
export async function requestDrain(
  db: Db,
  workers: readonly string[],
  kind: DrainKind = 'exit',
): Promise<void> {
  await sql`
    with old as (
      delete from worker_drains
      where requested_at < now() - ${sql.lit(keptHours)} * interval '1 hour' and worker <> all(${workers}::text[])
    )
    insert into worker_drains (worker, stays) select worker, ${kind === 'stay'} from unnest(${workers}::text[]) as asked (worker)
    on conflict (worker) do update set requested_at = now(), stays = excluded.stays`.execute(db);
}

/** Returns what this worker is asked to do, and removes the request. */
export async function takeDrainRequest(db: Db, worker: string): Promise<DrainKind | undefined> {
  const taken = await db
    .deleteFrom('worker_drains')
    .where('worker', '=', worker)
    .returning('stays')
    .executeTakeFirst();
  if (taken === undefined) return undefined;
  return taken.stays ? 'stay' : 'exit';
}

/** A live worker, as a deploy sees it. */
export interface ReleaseWorker {
  worker: string;
  /** The start of its name (`WORKER_RELEASE`); null: it has none. */
  release: string | null;
  /** Turns that it runs. */
  turns: number;
  /** Whether it has not yet seen a request to drain. */
  isAsked: boolean;
}

/** Workers with heartbeats. Those of dead ones are removed within seconds. */
export async function readReleaseWorkers(db: Db): Promise<ReleaseWorker[]> {
  const { rows } = await sql<ReleaseWorker>`
    select h.worker, case when position('/' in h.worker) > 1 then split_part(h.worker, '/', 1) end as release,
      coalesce(l.turns, 0)::int as turns, exists (select from worker_drains d where d.worker = h.worker) as "isAsked"
    from worker_heartbeats h left join (
      select g.worker, count(*) as turns from gates g
      where g.state_class = 0 and g.worker is not null and ${leaseUntil} >= now() group by g.worker
    ) l on l.worker = h.worker
    order by h.worker`.execute(db);
  return rows;
}
