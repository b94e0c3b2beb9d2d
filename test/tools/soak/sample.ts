/** One measurement of the soak: memory, CPU time, sizes, dead rows and latencies, by the names of their series. */
import { readFileSync } from 'node:fs';
import type { Pool } from 'pg';
import type { MeasuredProcess } from '../bench/rig.ts';
import type { MixResult } from './load.ts';

export type Sample = Record<string, number>;

/** Units of the series by the start of their names, and the growth that is not reported. */
export const kinds = {
  'memory held': { unit: 'MiB', allowed: 0.1 },
  'memory resident': { unit: 'MiB', allowed: 0.15 },
  'memory of sessions': { unit: 'MiB', allowed: 0.25 },
  table: { unit: 'MiB', allowed: 0.1 },
  indexes: { unit: 'MiB', allowed: 0.1 },
  'dead rows': { unit: '', allowed: 0.5 },
  p99: { unit: 'ms', allowed: 0.25 },
  CPU: { unit: 'ms a call', allowed: 0.25 },
  sessions: { unit: '', allowed: 0.25 },
} as const;

/** Series whose values stay below this are not judged: they are a few pages, or a few kilobytes. */
const smallest: Partial<Record<keyof typeof kinds, number>> = { table: 1, indexes: 1, 'dead rows': 5_000 };

export function getKind(series: string): keyof typeof kinds {
  const kind = (Object.keys(kinds) as (keyof typeof kinds)[]).find((name) => series.startsWith(name));
  if (kind === undefined) throw new Error(`no kind of ${series}`);
  return kind;
}

export function isJudged(series: string, values: readonly number[]): boolean {
  return Math.max(...values) >= (smallest[getKind(series)] ?? 0);
}

const mebibyte = 2 ** 20;

/** @param cpuMs of each service at the last sample; this function brings it up to date */
export async function takeSample(
  services: Record<string, MeasuredProcess>,
  pool: Pool,
  mix: MixResult,
  cpuMs: Map<string, number>,
): Promise<Sample> {
  const sample: Sample = { 'p99 of accepts': mix.acceptP99, 'p99 of whole tasks': mix.wholeP99 };
  for (const [name, service] of Object.entries(services)) {
    // Twice: what the first collection finalizes is freed by the second.
    await service.ask({});
    const usage = await service.ask<{ rss: number; held: number; cpuMs: number }>({});
    sample[`memory held by ${name}`] = usage.held / mebibyte;
    sample[`memory resident of ${name}`] = usage.rss / mebibyte;
    sample[`CPU of ${name}`] = (usage.cpuMs - (cpuMs.get(name) ?? 0)) / mix.calls;
    cpuMs.set(name, usage.cpuMs);
  }
  Object.assign(sample, await readSessions(pool));
  const { rows } = await pool.query<{ name: string; heap: string; indexes: string; dead: string }>(
    `select relname as name, pg_table_size(relid) as heap, pg_indexes_size(relid) as indexes, n_dead_tup as dead
     from pg_stat_user_tables`,
  );
  for (const { name, heap, indexes, dead } of rows) {
    sample[`table ${name}`] = Number(heap) / mebibyte;
    sample[`indexes of ${name}`] = Number(indexes) / mebibyte;
    sample[`dead rows of ${name}`] = Number(dead);
  }
  return sample;
}

/** The sessions of PostgreSQL, and the memory that they do not share. Linux only. */
async function readSessions(pool: Pool): Promise<Sample> {
  const { rows } = await pool.query<{ pid: number }>(
    `select pid from pg_stat_activity where backend_type = 'client backend'`,
  );
  const kilobytes = rows.map(({ pid }) => {
    try {
      return Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    } catch {
      return 0; // it has ended meanwhile
    }
  });
  return {
    'sessions of PostgreSQL': rows.length,
    'memory of sessions of PostgreSQL': kilobytes.reduce((sum, one) => sum + one, 0) / 1024,
  };
}
