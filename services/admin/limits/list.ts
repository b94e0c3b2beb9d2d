/** Formats the default limits, the owners that have limits of their own, and the owners that are near a limit. */
import {
  formatLimit,
  limitColumns,
  ownerLimitNames,
  toLimitRows,
  type OwnerLimits,
  type OwnerReport,
} from '#shared/domain/owner-limits.ts';

export function formatReports(
  defaults: OwnerLimits,
  reports: readonly OwnerReport[],
  options: { all: boolean },
): string[] {
  const rows = reports.flatMap((report) => toLimitRows(report, options.all));
  return [
    'defaults',
    ...ownerLimitNames.map((limit) => `  ${limit.padEnd(21)}${formatLimit(limit, defaults[limit])}`),
    '',
    ...(rows.length > 0
      ? alignColumns([limitColumns.map((name) => name.toLowerCase()), ...rows])
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
