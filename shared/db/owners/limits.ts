/** Limits of owners: the defaults, and what operators set for single owners. */
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';

/** Age at which cached limits are read again. */
const maxAgeMs = 10_000;
/** Beyond this number, the cache starts again. */
const maxCached = 10_000;

export type GetOwnerLimits = (owner: string) => Promise<OwnerLimits>;

/** Reads limits through a cache. If the database cannot be reached, the last known limits apply. */
export function createOwnerLimits(db: Db, defaults: OwnerLimits): GetOwnerLimits {
  const cache = new Map<string, { limits: OwnerLimits; readAt: number }>();
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
    { max: 256, key: (owner) => owner },
  );
  return async (owner) => {
    const cached = cache.get(owner);
    if (cached !== undefined && performance.now() - cached.readAt < maxAgeMs) return cached.limits;
    const readAt = performance.now();
    try {
      const limits = await read(owner);
      if (cache.size >= maxCached) cache.clear();
      cache.set(owner, { limits, readAt });
      return limits;
    } catch (error) {
      if (cached !== undefined) return cached.limits;
      throw error;
    }
  };
}
