/** The plans of statements, and what the statistics of tables say about those of the services: nothing reads a large table whole. */
import { Kysely, PostgresDialect, type CompiledQuery } from 'kysely';
import type { Pool } from 'pg';
import type { Db } from '#shared/db/client/pool.ts';
import type { Database } from '#shared/db/schema/schema.ts';
import { findScans, type QueryPlan } from '../../../../support/database/plan.ts';
import type { Figure } from '../../rounds.ts';
import type { Side } from './sides.ts';

/** Rows of a table that a statement may read whole. */
const largeRows = 10_000;

export type Statements = Record<string, (db: Db) => Promise<unknown>>;

/** Runs statements once, and returns a figure for each large table that one of them reads whole. */
export async function findScannedTables({ pool }: Side, statements: Statements): Promise<Figure[]> {
  const large = await readLargeTables(pool);
  const found: Figure[] = [];
  for (const [name, run] of Object.entries(statements)) {
    const queries: CompiledQuery[] = [];
    const db = new Kysely<Database>({
      dialect: new PostgresDialect({ pool }),
      log: ({ query }) => void queries.push(query),
    });
    await run(db);
    const tables = new Set<string>();
    for (const { sql: text, parameters } of queries) {
      if (!/^\s*(--.*\n\s*)?(select|with|insert|update|delete)\b/i.test(text)) continue;
      const prepared = text.startsWith('-- prepared');
      const { rows } = await pool.query<{ 'QUERY PLAN': { Plan: QueryPlan }[] }>(
        `explain (${prepared ? 'generic_plan, ' : ''}format json) ${text}`,
        prepared ? [] : [...parameters],
      );
      const plan = rows[0]?.['QUERY PLAN'][0]?.Plan;
      if (plan !== undefined) for (const table of findScans(plan)) tables.add(table);
    }
    for (const table of tables) {
      const rows = large.get(table);
      if (rows !== undefined) found.push(toFinding(`${name}: reads all of ${table}`, rows));
    }
  }
  return found.length > 0
    ? found
    : [{ ...toFinding('statements that read a large table whole', 0), unit: '' }];
}

function toFinding(name: string, rows: number): Figure {
  return { name, value: rows, unit: 'rows', target: { at: 'most', value: 0 } };
}

async function readLargeTables(pool: Pool): Promise<Map<string, number>> {
  const { rows } = await pool.query<{ name: string; rows: number }>(
    `select relname as name, reltuples::float8 as rows from pg_class
     where relnamespace = 'public'::regnamespace and relkind = 'r' and reltuples >= $1`,
    [largeRows],
  );
  return new Map(rows.map(({ name, rows: count }) => [name, count]));
}

/** A table counts as read whole if scans have returned this share of its rows. */
const wholeShare = 0.5;

/**
 * Counts the rows that scans of large tables return from now on, in any process. The number of scans says less: an index of
 * ranges of pages (BRIN) scans each new range once, to summarise it.
 */
export async function watchScans({ pool }: Pick<Side, 'pool'>): Promise<() => Promise<Figure[]>> {
  const large = await readLargeTables(pool);
  const read = async () => {
    const { rows } = await pool.query<{ name: string; rows: string }>(
      `select relname as name, seq_tup_read as rows from pg_stat_user_tables where schemaname = 'public'`,
    );
    return new Map(rows.map(({ name, rows: count }) => [name, Number(count)]));
  };
  const before = await read();
  return async () => {
    const after = await read();
    return [...large].flatMap(([name, rows]): Figure[] => {
      const scanned = (after.get(name) ?? 0) - (before.get(name) ?? 0);
      return scanned < wholeShare * rows ? [] : [toFinding(`rows that scans of ${name} have read`, scanned)];
    });
  };
}
