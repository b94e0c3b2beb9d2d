/** One measurement of the soak: memory, sizes, dead rows and latencies, by the names of their series. */
import type { Pool } from 'pg';
import type { MeasuredProcess } from '../bench/rig.ts';
import type { MixResult } from './load.ts';

export type Sample = Record<string, number>;

/** Units of the series by the start of their names, and the growth that is not reported. */
export const kinds = {
  'memory held': { unit: 'MiB', allowed: 0.1 },
  'memory resident': { unit: 'MiB', allowed: 0.15 },
  table: { unit: 'MiB', allowed: 0.1 },
  indexes: { unit: 'MiB', allowed: 0.1 },
  'dead rows': { unit: '', allowed: 0.5 },
  p99: { unit: 'ms', allowed: 0.25 },
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

export async function takeSample(
  services: Record<string, MeasuredProcess>,
  pool: Pool,
  mix: MixResult,
): Promise<Sample> {
  const sample: Sample = { 'p99 of accepts': mix.acceptP99, 'p99 of whole tasks': mix.wholeP99 };
  for (const [name, service] of Object.entries(services)) {
    // Twice: what the first collection finalizes is freed by the second.
    await service.ask({});
    const { rss, held } = await service.ask<{ rss: number; held: number }>({});
    sample[`memory held by ${name}`] = held / mebibyte;
    sample[`memory resident of ${name}`] = rss / mebibyte;
  }
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
