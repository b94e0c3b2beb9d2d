/** Lists the default limits, the owners that have limits of their own, and the owners that are near a limit. */
import type { Db } from '#shared/db/client/pool.ts';
import { readOwnLimits, type OwnLimits } from '#shared/db/owners/settings.ts';
import { countRunningTurns, createUsageReader, listOwners } from '#shared/db/owners/usage.ts';
import { countSchedulesOfOwners } from '#shared/db/schedules/store.ts';
import { ownerLimitNames, type OwnerLimit, type OwnerLimits } from '#shared/domain/owner-limits.ts';
import { formatAmount, formatLimit } from './values.ts';

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

export function formatReports(
  defaults: OwnerLimits,
  reports: readonly OwnerReport[],
  options: { all: boolean },
): string[] {
  const rows = reports.flatMap(({ owner, own, limits, usage, near }) =>
    ownerLimitNames
      .filter((limit) => options.all || near.includes(limit) || own[limit] !== undefined)
      .map((limit) => {
        const used = usage[limit];
        return [
          owner,
          limit,
          used === undefined ? '-' : formatAmount(limit, used),
          formatLimit(limit, limits[limit]),
          limits[limit] === 0 || used === undefined
            ? '-'
            : `${Math.floor(100 * getShare(limits, usage, limit))}%`,
          own[limit] === undefined ? 'default' : 'own',
        ];
      }),
  );
  return [
    'defaults',
    ...ownerLimitNames.map((limit) => `  ${limit.padEnd(21)}${formatLimit(limit, defaults[limit])}`),
    '',
    ...(rows.length > 0
      ? alignColumns([['owner', 'limit', 'used', 'max', 'share', 'set'], ...rows])
      : ['no owner has limits of its own or is near a limit']),
  ];
}

function getShare(limits: OwnerLimits, usage: Usage, limit: OwnerLimit): number {
  return limits[limit] === 0 ? 0 : (usage[limit] ?? 0) / limits[limit];
}

function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
