/** The limits of owners and what they use of them, for operators. */
import { ownerLimitNames, type OwnerLimit, type OwnerLimits } from '../../domain/owner-limits.ts';
import type { Db } from '../client/pool.ts';
import { countSchedulesOfOwners } from '../schedules/store.ts';
import { readOwnLimits, type OwnLimits } from './settings.ts';
import { countRunningTurns, createUsageReader, listOwners } from './usage.ts';

/** Open tasks are counted up to this. */
const maxOpenTasks = 1_000_000;
/** An owner that uses this share of a limit is near it. */
const nearShare = 0.8;

type Usage = Partial<Record<OwnerLimit, number>>;

export interface OwnerReport {
  owner: string;
  /** Limits that are set for this owner. */
  own: OwnLimits;
  limits: OwnerLimits;
  /** Bytes of webhooks are not reported. */
  usage: Usage;
  near: OwnerLimit[];
}

/** @param options.all false: only owners with limits of their own, or near a limit */
export async function reportOwners(
  db: Db,
  defaults: OwnerLimits,
  options: { all: boolean },
): Promise<OwnerReport[]> {
  const readUsage = createUsageReader(db);
  const [owners, ownLimits, running, schedules] = await Promise.all([
    listOwners(db),
    readOwnLimits(db),
    countRunningTurns(db),
    countSchedulesOfOwners(db),
  ]);
  const reports = await Promise.all(
    owners.map(async (owner): Promise<OwnerReport> => {
      const own = ownLimits.get(owner) ?? {};
      const limits = { ...defaults, ...own };
      const usage: Usage = {
        ...(await readUsage({ owner, maxOpenTasks })),
        concurrentTurns: running.get(owner) ?? 0,
        schedules: schedules.get(owner) ?? 0,
      };
      const near = ownerLimitNames.filter((limit) => getShare(limits, usage, limit) >= nearShare);
      return { owner, own, limits, usage, near };
    }),
  );
  return reports.filter(({ own, near }) => options.all || near.length > 0 || Object.keys(own).length > 0);
}

/** Returns the share of a limit that an owner uses; 0 without a limit. */
export function getShare(limits: OwnerLimits, usage: Usage, limit: OwnerLimit): number {
  return limits[limit] === 0 ? 0 : (usage[limit] ?? 0) / limits[limit];
}
