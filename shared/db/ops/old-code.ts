/** Code of earlier releases that still uses the database, so that nothing it needs may be dropped. */
import { sql } from 'kysely';
import type { Db } from '../client/pool.ts';
import { readReleaseWorkers } from './workers.ts';

/**
 * Finds it by the names of sessions (schema/migrations/contractions.ts), which every process has all the time, and by the heartbeats of
 * workers, which a pooler in front of the database does not hide.
 *
 * @param ready the number of contractions that code must be ready for
 * @param keep the release whose workers are new; undefined: workers are not examined
 * @returns a description of each kind of process, and each worker
 */
export async function readOldCode(
  db: Db,
  { ready, keep }: { ready: number; keep: string | undefined },
): Promise<string[]> {
  const { rows } = await sql<{ name: string; sessions: number }>`
    select application_name as name, count(*)::int as sessions from pg_stat_activity
    where datname = current_database() and application_name like 'longhaul-%'
      and coalesce(substring(application_name from '/([0-9]+)$')::int, 0) < ${ready}
    group by application_name order by application_name`.execute(db);
  const workers = keep === undefined ? [] : await readReleaseWorkers(db);
  return [
    ...rows.map(({ name, sessions }) => `${name} (${sessions} ${sessions === 1 ? 'session' : 'sessions'})`),
    ...workers.filter(({ release }) => release !== keep).map(({ worker }) => `the worker ${worker}`),
  ];
}
