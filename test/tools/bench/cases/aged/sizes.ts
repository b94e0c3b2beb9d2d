/** The disk that tasks take, the log that they write, and whether vacuum keeps up. */
import type { Pool } from 'pg';
import type { Figure } from '../../rounds.ts';
import type { Side } from './sides.ts';

/** Tables and indexes with at least this share of the database are reported by name. */
const leastShare = 0.03;
/** Autovacuum may be behind by so many times its threshold. */
const mostDead = 2;

export async function readSizes({ pool }: Side): Promise<Figure[]> {
  const { rows } = await pool.query<{ name: string; bytes: string; indexes: string }>(
    `select relname as name, pg_table_size(relid) as bytes, pg_indexes_size(relid) as indexes
     from pg_stat_user_tables where schemaname = 'public' order by pg_total_relation_size(relid) desc`,
  );
  const { rows: counted } = await pool.query<{ tasks: string }>(`select count(*) as tasks from gates`);
  const tasks = Number(counted[0]?.tasks);
  const tables = rows.map(({ name, bytes, indexes }) => ({
    name,
    bytes: Number(bytes),
    indexes: Number(indexes),
  }));
  const sum = (part: 'bytes' | 'indexes') => tables.reduce((total, table) => total + table[part], 0);
  const all = sum('bytes') + sum('indexes');
  const perTask = (name: string, bytes: number): Figure => ({
    name,
    value: bytes / tasks / 1024,
    unit: 'KB',
  });
  return [
    { name: 'tasks stored', value: tasks / 1e6, unit: 'million' },
    { name: 'disk', value: all / 2 ** 30, unit: 'GiB' },
    perTask('disk a task', all),
    perTask('disk a task, indexes', sum('indexes')),
    ...tables
      .filter(({ bytes, indexes }) => bytes + indexes > leastShare * all)
      .flatMap(({ name, bytes, indexes }) => [
        perTask(`${name}, a task`, bytes),
        perTask(`indexes of ${name}, a task`, indexes),
      ]),
  ];
}

/** Relations that so many tasks, or fewer, each write a whole page of are reported by name. */
const mostTasksOfPage = 10;

/**
 * Reports the writes for tasks after a checkpoint, when PostgreSQL logs each page whole that it changes first: the log, its
 * whole pages, where most of these are, and the pages that the next checkpoint writes. Nothing else may use the server
 * meanwhile.
 */
export async function measureLog(
  { name, pool }: Side,
  tasks: number,
  run: () => Promise<unknown>,
): Promise<Figure[]> {
  await pool.query('create extension if not exists pg_walinspect');
  await pool.query('checkpoint');
  const from = await readLogEnd(pool);
  const before = await readWritten(pool);
  await run();
  const to = await readLogEnd(pool);
  await pool.query('checkpoint');
  // The counters of pg_stat_wal lack what sessions have not reported yet.
  const { rows: pages } = await pool.query<{ relation: string; pages: number }>(
    `select coalesce(c.relname, 'others') as relation, count(*)::int as pages
     from pg_get_wal_block_info($1, $2, false) b
     left join pg_class c on pg_relation_filenode(c.oid) = b.relfilenode and b.reldatabase = (
       select oid from pg_database where datname = current_database()
     )
     where b.block_fpi_length > 0 group by 1 order by 2 desc`,
    [from, to],
  );
  const { rows: size } = await pool.query<{ bytes: string }>('select pg_wal_lsn_diff($1, $2) as bytes', [
    to,
    from,
  ]);
  const after = await readWritten(pool);
  const [log, written] = [Number(size[0]?.bytes), after.pages - before.pages];
  const perTask = (what: string, count: number, unit: string): Figure => ({
    name: `${what}, ${name} tasks`,
    value: count / tasks,
    unit,
  });
  return [
    perTask('WAL of a task after a checkpoint', log / 1024, 'KB'),
    perTask('pages written for a task by the next checkpoint', written / 1024, 'KB'),
    {
      name: `write amplification: both, of the growth of tables and indexes, ${name} tasks`,
      value: (log + written) / (after.stored - before.stored),
      unit: '×',
    },
    perTask(
      'whole pages in it',
      pages.reduce((sum, one) => sum + one.pages, 0),
      '',
    ),
    ...pages
      .filter((one) => one.pages * mostTasksOfPage >= tasks)
      .map((one) => perTask(`whole pages of ${one.relation}`, one.pages, '')),
  ];
}

/** The bytes of pages that all processes have written, and those that tables and indexes take. */
async function readWritten(pool: Pool): Promise<{ pages: number; stored: number }> {
  const { rows } = await pool.query<{ pages: string; stored: string }>(
    `select (select sum(writes * op_bytes) from pg_stat_io) as pages,
       (select sum(pg_total_relation_size(relid)) from pg_stat_user_tables where schemaname = 'public') as stored`,
  );
  return { pages: Number(rows[0]?.pages), stored: Number(rows[0]?.stored) };
}

async function readLogEnd(pool: Pool): Promise<string> {
  const { rows } = await pool.query<{ lsn: string }>('select pg_current_wal_flush_lsn() as lsn');
  return rows[0]?.lsn ?? '0/0';
}

/** Dead rows in relation to those at which autovacuum starts, of the table with the most. */
export async function readVacuumLag({ pool }: Side): Promise<Figure[]> {
  const { rows } = await pool.query<{ name: string; lag: number; dead: number; age: number }>(
    `select s.relname as name, s.n_dead_tup::float8 as dead,
       s.n_dead_tup / (o.threshold + o.scale * greatest(c.reltuples, 0)) as lag, age(c.relfrozenxid)::float8 as age
     from pg_stat_user_tables s join pg_class c on c.oid = s.relid
     cross join lateral (
       select coalesce(max(option_value::float8) filter (where option_name = 'autovacuum_vacuum_threshold'),
           current_setting('autovacuum_vacuum_threshold')::float8) as threshold,
         coalesce(max(option_value::float8) filter (where option_name = 'autovacuum_vacuum_scale_factor'),
           current_setting('autovacuum_vacuum_scale_factor')::float8) as scale
       from pg_options_to_table(c.reloptions)
     ) o
     where s.schemaname = 'public' and c.reltuples >= 10000 order by lag desc`,
  );
  const [worst] = rows;
  return [
    {
      name: `dead rows of ${worst?.name}, of those at which autovacuum starts`,
      value: worst?.lag ?? 0,
      unit: '×',
      target: { at: 'most', value: mostDead },
    },
    {
      name: 'dead rows of all tables',
      value: rows.reduce((sum, { dead }) => sum + dead, 0) / 1000,
      unit: 'thousand',
    },
    {
      name: 'age of the oldest transaction id',
      value: Math.max(...rows.map(({ age }) => age)) / 1e6,
      unit: 'million',
    },
  ];
}
