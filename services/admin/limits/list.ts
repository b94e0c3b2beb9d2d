/** Formats the default limits, the owners that have limits of their own, and the owners that are near a limit. */
import { getShare, type OwnerReport } from '#shared/db/owners/report.ts';
import { ownerLimitNames, type OwnerLimits } from '#shared/domain/owner-limits.ts';
import { formatAmount, formatLimit } from './values.ts';

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

function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
