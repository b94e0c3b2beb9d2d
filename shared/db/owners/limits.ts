/** Limits of owners: the defaults, and what operators set for single owners. */
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';

/** Age at which cached limits are read again. */
const maxAgeMs = 5_000;
/** Beyond this number, the cache starts again. */
const maxCached = 10_000;

export type GetOwnerLimits = (owner: string) => Promise<OwnerLimits>;

interface Cached {
  /** The last known limits; undefined before the first read has ended. */
  limits: OwnerLimits | undefined;
  /** The newest read, and when it started. */
  reading: Promise<OwnerLimits>;
  startedAt: number;
}

/**
 * Reads limits through a cache of 5 s. Concurrent calls for an owner share one read. If the database cannot be
 * reached, the last known limits apply.
 */
export function createOwnerLimits(db: Db, defaults: OwnerLimits): GetOwnerLimits {
  const cache = new Map<string, Cached>();
  const read = createBatcher(
    async (owners: readonly string[]) => {
      const rows = await db
        .selectFrom('owner_limits')
        .select(['owner', 'limits'])
        .where('owner', 'in', [...owners])
        .execute();
      const found = new Map(rows.map(({ owner, limits }) => [owner, limits]));
      return owners.map((owner): OwnerLimits => ({ ...defaults, ...found.get(owner) }));
    },
    { max: 256 },
  );

  async function refresh(owner: string, known: OwnerLimits | undefined): Promise<OwnerLimits> {
    try {
      const limits = await read(owner);
      const cached = cache.get(owner);
      if (cached !== undefined) cached.limits = limits;
      return limits;
    } catch (error) {
      if (known !== undefined) return known;
      cache.delete(owner);
      throw error;
    }
  }

  return (owner) => {
    const cached = cache.get(owner);
    const now = performance.now();
    if (cached !== undefined && now - cached.startedAt < maxAgeMs) return cached.reading;
    if (cache.size >= maxCached) cache.clear();
    const reading = refresh(owner, cached?.limits);
    cache.set(owner, { limits: cached?.limits, reading, startedAt: now });
    return reading;
  };
}
