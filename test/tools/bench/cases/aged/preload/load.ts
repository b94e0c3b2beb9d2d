/** Fills a database with ended tasks, once for each data directory. */
import { readFileSync, rmSync, statfsSync } from 'node:fs';
import { Client } from 'pg';
import { openDatabase } from '#shared/db/client/pool.ts';
import { migrateToLatest } from '#shared/db/schema/migrate.ts';
import { describeSchema } from '../../../../schema/describe.ts';
import { startServer, withRig } from '../../../rig.ts';
import { ms, type Figure } from '../../../rounds.ts';
import { copyTasks } from './copy.ts';
import { findFreeSpaceMaps } from './free-space.ts';
import { measureLocks } from './locks.ts';
import { runTemplates, shares, templateOwner } from './templates.ts';

const schemaFile = new URL('../../../../../../shared/db/schema/schema.sql', import.meta.url);

/** A migration may keep writes waiting for so long. */
const mostLockedMs = 1_000;

/** Disk that a stored task takes, with its indexes, and while the largest index is built. */
const bytesPerTask = 7_000;

/** Tables that are filled at the same time. */
const lanes = 2;

/** Fast rather than durable: a load that is cut starts again. */
const loadSettings = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  autovacuum: 'off',
  shared_buffers: '512MB',
  maintenance_work_mem: '1GB',
  max_wal_size: '4GB',
  checkpoint_timeout: '1h',
};

/** A database of a data directory. */
export interface Preload {
  name: string;
  tasks: number;
  /** Loads it again, even if it is loaded. */
  isFresh?: true;
}

/**
 * Returns the number of tasks of a loaded database, with the newest migrations; undefined if it is not loaded.
 *
 * @throws {Error} if its tables are not those of this tree
 */
async function findLoaded(
  serverUrl: string,
  name: string,
): Promise<{ tasks: number; figures: Figure[] } | undefined> {
  const url = withDatabase(serverUrl, name);
  const tasks = await readMark(url);
  if (tasks === undefined) return undefined;
  const figures = await migrate(url);
  const [wanted, found] = [readFileSync(schemaFile, 'utf8'), await describeSchema(url)].map(toLines);
  const difference = [
    ...[...(wanted ?? [])].filter((line) => found?.has(line) !== true).map((line) => `+ ${line}`),
    ...[...(found ?? [])].filter((line) => wanted?.has(line) !== true).map((line) => `- ${line}`),
  ];
  if (difference.length === 0) return { tasks, figures };
  throw new Error(
    `the tables of ${name} are not those of schema.sql. Change them, or load another directory:\n${difference.join('\n')}`,
  );
}

/** Runs the migrations that were added since the load. @returns for how long they have locked tables */
async function migrate(url: string): Promise<Figure[]> {
  let applied: string[] = [];
  const locks = await measureLocks(url, 'longhaul-migrate', async () => {
    applied = await migrateToLatest({ url });
  });
  if (applied.length === 0) return [];
  const longest = Math.max(0, ...locks.values());
  return [ms(`locks of ${applied.join(', ')}, the longest of a table`, longest, mostLockedMs)];
}

/** The lines of a schema, each with its table: their order does not matter. */
function toLines(schema: string): Set<string> {
  let table = '';
  const lines = schema.split('\n').flatMap((line) => {
    if (line.startsWith('create table')) table = line.split(' ')[2] ?? '';
    const text = line.replace(/,$/, '').trim();
    return text === '' || text.startsWith('--') ? [] : [`${table}: ${text}`];
  });
  return new Set(lines);
}

async function readMark(url: string): Promise<number | undefined> {
  const client = new Client({ connectionString: url });
  try {
    await client.connect();
    const { rows } = await client.query<{ tasks: number }>('select tasks from preload.mark');
    return rows[0]?.tasks;
  } catch {
    return undefined;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * Loads databases of a data directory that are not loaded. One that is keeps its number of tasks, and gets the migrations
 * that were added since.
 *
 * @param createCaller returns environment and headers of an owner, for the services that run the templates
 * @returns figures of these migrations
 */
export async function loadDatabases(
  dataDir: string,
  databases: readonly Preload[],
  createCaller: (owner: string) => { env: Record<string, string>; headers: Record<string, string> },
): Promise<Figure[]> {
  const server = await startServer({ dataDir, settings: loadSettings });
  const figures: Figure[] = [];
  const freeSpaceMaps: string[] = [];
  try {
    for (const { name, tasks, isFresh } of databases) {
      const loaded = isFresh === true ? undefined : await findLoaded(server.url, name);
      if (loaded !== undefined) {
        console.log(`${name}: ${loaded.tasks} tasks from an earlier load`);
        figures.push(...loaded.figures);
        continue;
      }
      const { bavail, bsize } = statfsSync(dataDir);
      const [free, needed] = [bavail * bsize, tasks * bytesPerTask];
      if (free < needed)
        throw new Error(
          `${tasks} tasks need ${toGigabytes(needed)} in ${dataDir}, which has ${toGigabytes(free)}`,
        );
      const from = performance.now();
      await load(server.url, { name, tasks }, createCaller(templateOwner));
      freeSpaceMaps.push(...(await findFreeSpaceMaps(withDatabase(server.url, name))));
      console.log(`${name}: ${tasks} tasks in ${((performance.now() - from) / 1000).toFixed(0)} s`);
    }
    return figures;
  } finally {
    await server.stop();
    for (const file of freeSpaceMaps) rmSync(file, { force: true });
  }
}

async function load(
  serverUrl: string,
  { name, tasks }: Preload,
  { env, headers }: { env: Record<string, string>; headers: Record<string, string> },
): Promise<void> {
  const administrator = new Client({ connectionString: serverUrl });
  await administrator.connect();
  await administrator.query(`drop database if exists ${name} with (force)`);
  await administrator.query(`create database ${name}`);
  await administrator.end();
  const url = withDatabase(serverUrl, name);
  await migrateToLatest({ url });
  const templates = await withRig((rig) => runTemplates(rig, headers), {
    ...env,
    DATABASE_URL: url,
    AGENT_MODULE: `${import.meta.dirname}/agent.ts`,
  });
  const { db, pool } = openDatabase({
    database: { url, poolSize: 1 + lanes },
    queryTimeoutMs: 0,
    applicationName: 'longhaul-bench',
  });
  const clients = await Promise.all([
    pool.connect(),
    ...Array.from({ length: lanes - 1 }, () => pool.connect()),
  ] as const);
  const [client] = clients;
  try {
    const report = (line: string) => console.log(`  ${name}: ${line}`);
    await copyTasks({ clients, db, templates, shares, tasks, report });
    await client.query('drop table preload.seed');
    await client.query('create table preload.mark as select $1::int as tasks', [tasks]);
    await client.query('checkpoint');
  } finally {
    for (const one of clients) one.release();
    await db.destroy();
  }
}

export function withDatabase(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

function toGigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
