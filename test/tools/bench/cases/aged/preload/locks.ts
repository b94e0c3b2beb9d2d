/** How long a migration keeps callers waiting. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

const everyMs = 10;

/** The modes that conflict with writes (PostgreSQL documentation, section 13.3.1). */
const blocking = ['ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'];

/**
 * Runs a migration, and returns for how many milliseconds it held locks on tables that existed before, by table: writes of the services
 * would have waited that long.
 *
 * @param application the name under which the migration connects
 */
export async function measureLocks(
  url: string,
  application: string,
  migrate: () => Promise<unknown>,
): Promise<Map<string, number>> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const spans = new Map<string, { from: number; to: number }>();
  const { rows: tables } = await client.query<{ oid: number }>(
    `select oid from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relname not like 'kysely%'`,
  );
  const oids = tables.map(({ oid }) => oid);
  const done = new AbortController();
  const watching = (async () => {
    while (!done.signal.aborted) {
      const { rows } = await client.query<{ name: string }>(
        `select distinct c.relname as name from pg_locks l
         join pg_stat_activity a on a.pid = l.pid join pg_class c on c.oid = l.relation
         where a.application_name = $1 and l.granted and l.mode = any($2) and c.oid = any($3)`,
        [application, blocking, oids],
      );
      const at = performance.now();
      for (const { name } of rows) spans.set(name, { from: spans.get(name)?.from ?? at, to: at });
      await sleep(everyMs);
    }
  })();
  try {
    await migrate();
  } finally {
    done.abort();
    await watching;
    await client.end();
  }
  return new Map([...spans].map(([name, { from, to }]) => [name, to - from + everyMs]));
}
