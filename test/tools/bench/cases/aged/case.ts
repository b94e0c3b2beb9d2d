/**
 * `npm run bench -- aged`: every hot figure next to millions of ended tasks, compared with the same on a database of few, on
 * one server, by turns. The tasks are copies of real ones, made inside PostgreSQL (preload/), and a data directory keeps them
 * for the next run.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { waitFor } from '../../../../support/wait-for.ts';
import { startServer } from '../../rig.ts';
import { polling, type Figure } from '../../rounds.ts';
import { accepts, calls, wholeTasks } from './calls.ts';
import { checkedStatements } from './checked-statements.ts';
import { compare } from './compare.ts';
import { findScannedTables, watchScans } from './plans.ts';
import { loadDatabases, withDatabase } from './preload/load.ts';
import { createHeaders, environment, withSides, type Side } from './sides.ts';
import { measureLog, readSizes, readVacuumLag } from './sizes.ts';
import { statements } from './statements.ts';

export interface AgedOptions {
  /** For a directory that is not loaded yet. */
  tasks: number;
  /** Keeps the loaded database. Default: a temporary directory. */
  dataDir: string | undefined;
  /** Only loads the database. */
  loadOnly: boolean;
}

/** Enough for lists, and for what retention removes. */
const fewTasks = 20_000;

/** Memory for a database of this size, and the log until it is read (measureLog); the rest is as in production (startPostgres). */
const measuredSettings = { shared_buffers: '2GB', max_wal_size: '4GB', wal_keep_size: '4GB' };

const createCaller = (owner: string) => ({ env: environment, headers: createHeaders(owner) });

export async function agedCase({ tasks, dataDir, loadOnly }: AgedOptions): Promise<Figure[]> {
  const dir = dataDir ?? mkdtempSync(path.join(os.tmpdir(), 'longhaul-bench-aged-'));
  try {
    const databases = [
      { name: 'many', tasks },
      // Each run changes it, and it is loaded fast.
      { name: 'few', tasks: fewTasks, isFresh: true as const },
    ];
    const migrations = await loadDatabases(dir, loadOnly ? databases.slice(0, 1) : databases, createCaller);
    if (loadOnly) return [];
    const server = await startServer({ dataDir: dir, settings: measuredSettings });
    try {
      const urls = { few: withDatabase(server.url, 'few'), many: withDatabase(server.url, 'many') };
      return [...migrations, ...(await withSides(urls, measure))];
    } finally {
      await server.stop();
    }
  } finally {
    if (dataDir === undefined) rmSync(dir, { recursive: true, force: true });
  }
}

async function measure(sides: readonly [few: Side, many: Side]): Promise<Figure[]> {
  const [, many] = sides;
  const figures: Figure[] = [];
  const add = (more: readonly Figure[]) => void figures.push(...more);
  add(await readSizes(many));
  add(await findScannedTables(many, checkedStatements));
  const findScans = await watchScans(many);
  for (const statement of statements) add(await compare(sides, statement));
  for (const side of sides) side.apiUrl = (await side.rig.service('api')).url;
  add(await compare(sides, accepts));
  for (const { rig } of sides)
    await Promise.all([rig.service('worker', { WORKER_CONCURRENCY: '300' }), rig.service('dispatcher')]);
  for (const side of sides) await untilIdle(side);
  const [whole] = calls;
  for (const call of calls) add(await compare(sides, call));
  if (whole !== undefined)
    for (const side of sides) add(await measureLog(side, wholeTasks, () => whole.measure(side)));
  add(await findScans());
  add(await readVacuumLag(many));
  // A server that stops has a few seconds.
  await many.pool.query('checkpoint');
  return figures;
}

async function untilIdle({ pool }: Side): Promise<void> {
  await waitFor(
    'the end of all tasks',
    async () => {
      const { rows } = await pool.query('select from gates where state_class = 0 limit 1');
      return rows.length === 0;
    },
    { ...polling, boundMs: 600_000 },
  );
}
