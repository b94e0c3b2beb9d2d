/** The limits of owners and what they use of them, for operators. */
import { getShare, ownerLimitNames, type OwnerLimits, type OwnerReport } from '../../domain/owner-limits.ts';
import type { Db } from '../client/pool.ts';
import { databaseNow } from '../../runtime/clock.ts';
import { getHour, readSentBytesOfOwners } from '../webhooks/usage.ts';
import { countSchedulesOfOwners } from '../schedules/store.ts';
import { readOwnLimits } from './settings.ts';
import { countRunningTurns, createUsageReader, listOwners } from './usage.ts';

/** Open tasks are counted up to this. */
const maxOpenTasks = 1_000_000;
/** An owner that uses this share of a limit is near it. */
const nearShare = 0.8;

/** @param options.all false: only owners with limits of their own, or near a limit */
export async function reportOwners(
  db: Db,
  defaults: OwnerLimits,
  options: { all: boolean },
): Promise<OwnerReport[]> {
  const readUsage = createUsageReader(db);
  const [owners, ownLimits, running, schedules, sentBytes] = await Promise.all([
    listOwners(db),
    readOwnLimits(db),
    countRunningTurns(db),
    countSchedulesOfOwners(db),
    readSentBytesOfOwners(db, getHour(databaseNow())),
  ]);
  const reports = await Promise.all(
    owners.map(async (owner): Promise<OwnerReport> => {
      const own = ownLimits.get(owner) ?? {};
      const limits = { ...defaults, ...own };
      const usage: OwnerReport['usage'] = {
        ...(await readUsage({ owner, maxOpenTasks })).usage,
        concurrentTurns: running.get(owner) ?? 0,
        schedules: schedules.get(owner) ?? 0,
        webhookBytesPerHour: sentBytes.get(owner) ?? 0,
      };
      const near = ownerLimitNames.filter((limit) => getShare(limits, usage, limit) >= nearShare);
      return { owner, own, limits, usage, near };
    }),
  );
  return reports.filter(({ own, near }) => options.all || near.length > 0 || Object.keys(own).length > 0);
}
