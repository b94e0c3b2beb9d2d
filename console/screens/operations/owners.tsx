/** The owners near a limit, and what they use of it. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { ownerLimitNames, type OwnerLimit } from '#shared/domain/owner-limits.ts';
import { listOwners } from '../../api/ops.ts';
import { formatBytes, formatCost, formatCount, toVisible } from '../../lib/format.ts';
import type { OwnerReport } from '../../lib/types.ts';
import { ErrorNote, Pill } from '../../ui/basics.tsx';
import { useData, usePoll } from '../../ui/data.ts';
import { DataTable, type Column } from './table.tsx';

const names: Readonly<Record<OwnerLimit, string>> = {
  openTasks: 'open tasks',
  concurrentTurns: 'turns at once',
  storedBytes: 'stored',
  webhookConfigs: 'webhooks',
  webhookBytesPerHour: 'webhooks in this hour',
  modelCostPerDay: 'cost today',
  schedules: 'schedules',
};

const columns: readonly Column<OwnerReport>[] = [
  { name: 'Owner', cell: ({ owner }) => toVisible(owner) },
  {
    name: 'Near its limit',
    cell: (report) => (report.near.length === 0 ? '–' : <Limits report={report} limits={report.near} />),
  },
  {
    name: 'Other limits',
    cell: (report) => {
      const others = ownerLimitNames.filter(
        (limit) => report.limits[limit] > 0 && !report.near.includes(limit),
      );
      return others.length === 0 ? '–' : <Limits report={report} limits={others} />;
    },
  },
  {
    name: 'Set for it',
    cell: ({ own }) =>
      Object.keys(own)
        .map((limit) => names[limit as OwnerLimit])
        .join(', ') || '–',
  },
];

export function OwnersCard({ pollMs }: { pollMs: number }): JSX.Element {
  const [all, setAll] = useState(false);
  const { data, error, reload } = useData(() => listOwners(all), [all]);
  usePoll(reload, pollMs);
  return (
    <>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      <DataTable
        title="Owners and their limits"
        columns={columns}
        rows={data?.owners}
        getKey={({ owner }) => owner}
        empty={all ? 'No owner has a task.' : 'No owner is near a limit or has limits of its own.'}
        actions={
          <div class="segmented" role="group" aria-label="Owners">
            {[false, true].map((value) => (
              <button
                key={`${value}`}
                type="button"
                aria-pressed={value === all}
                onClick={() => setAll(value)}
              >
                {value ? 'All' : 'Near a limit'}
              </button>
            ))}
          </div>
        }
      />
    </>
  );
}

interface LimitsProps {
  report: OwnerReport;
  limits: readonly OwnerLimit[];
}

function Limits({ report: { usage, limits: all, near }, limits }: LimitsProps): JSX.Element {
  return (
    <ul class="limits">
      {limits.map((limit) => (
        <li key={limit}>
          <Pill tone={near.includes(limit) ? 'bad' : 'neutral'}>
            {names[limit]}: {format(limit, usage[limit] ?? 0)} of {format(limit, all[limit])}
          </Pill>
        </li>
      ))}
    </ul>
  );
}

function format(limit: OwnerLimit, value: number): string {
  if (limit === 'modelCostPerDay') return formatCost(value);
  return limit === 'storedBytes' || limit === 'webhookBytesPerHour' ? formatBytes(value) : formatCount(value);
}
