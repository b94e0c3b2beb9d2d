/** Usage: cost and tokens by day, and the tasks in figures. Operators may also see it by owner. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useLocation, useSearch } from 'wouter-preact';
import type { TaskStats } from '#shared/domain/views.ts';
import { getStats, getUsage } from '../../api/calls.ts';
import { getOwnersUsage } from '../../api/ops.ts';
import { hasScope } from '../../api/session.ts';
import { formatCount, formatDuration, toVisible } from '../../lib/format.ts';
import { toDay, type NamedUsage } from '../../lib/usage-series.ts';
import { Empty, ErrorNote, Figure, Page, Skeleton } from '../../ui/basics.tsx';
import { useData, useFeed } from '../../ui/data.ts';
import { UsageReportCards } from './report.tsx';

const ranges = [7, 30, 90] as const;
const dayMs = 86_400_000;
const names = { model: 'My models', owner: 'All owners' } as const;
type By = keyof typeof names;

export function UsageScreen(): JSX.Element {
  const [, navigate] = useLocation();
  const query = useSearch();
  const isOperator = hasScope('operator');
  const by: By = isOperator && new URLSearchParams(query).get('by') === 'owner' ? 'owner' : 'model';
  const [days, setDays] = useState<(typeof ranges)[number]>(30);
  const usage = useData(
    () => readUsage(by, toDay(Date.now() - (days - 1) * dayMs), toDay(Date.now())),
    [days, by],
  );
  const stats = useData(getStats, []);
  useFeed((events) => {
    if (!events.some(({ kind }) => kind === 'state')) return;
    // That of all owners is large, and reads of it are audited.
    if (by === 'model') usage.reload();
    stats.reload();
  }, 2_000);
  const report = usage.data;
  return (
    <Page
      title="Usage"
      actions={
        <>
          {isOperator && (
            <div class="segmented" role="group" aria-label="Of">
              {(Object.keys(names) as By[]).map((name) => (
                <button
                  key={name}
                  type="button"
                  aria-pressed={name === by}
                  onClick={() => navigate(name === 'owner' ? '/usage?by=owner' : '/usage', { replace: true })}
                >
                  {names[name]}
                </button>
              ))}
            </div>
          )}
          <div class="segmented" role="group" aria-label="Days">
            {ranges.map((range) => (
              <button key={range} type="button" aria-pressed={range === days} onClick={() => setDays(range)}>
                {range} days
              </button>
            ))}
          </div>
        </>
      }
    >
      {by === 'model' && stats.data !== undefined && <StatFigures stats={stats.data} />}
      {usage.error !== undefined && <ErrorNote error={usage.error} retry={usage.reload} />}
      {report === undefined ? (
        usage.error === undefined && <Skeleton lines={8} />
      ) : report.lines.length === 0 ? (
        <Empty icon="chart" title="No model was called in this time">
          <p>Each finished call of a model is counted on its day (UTC).</p>
        </Empty>
      ) : (
        <UsageReportCards report={report} by={by} />
      )}
      {by === 'owner' && <p class="hint">The 50 owners with the highest cost, over all of their tenants.</p>}
    </Page>
  );
}

async function readUsage(by: By, since: string, until: string): Promise<NamedUsage> {
  if (by === 'owner') {
    const report = await getOwnersUsage(since, until);
    return { ...report, lines: report.lines.map((line) => ({ ...line, name: toVisible(line.owner) })) };
  }
  const report = await getUsage(since, until);
  return { ...report, lines: report.lines.map((line) => ({ ...line, name: line.model })) };
}

function StatFigures({ stats }: { stats: TaskStats }): JSX.Element {
  const { completion, oldestSubmittedSeconds, changedInLastHour, states, countsUpTo } = stats;
  const count = (value: number): string =>
    value > countsUpTo ? `${formatCount(countsUpTo)}+` : formatCount(value);
  const seconds = (value: number): string => formatDuration(value * 1000);
  return (
    <section class="card" aria-label="Tasks in figures">
      <dl class="figures">
        <Figure name="Working" value={count(states.TASK_STATE_WORKING)} />
        <Figure name="Queued" value={count(states.TASK_STATE_SUBMITTED)} />
        <Figure
          name="Oldest in the queue"
          value={oldestSubmittedSeconds === undefined ? '–' : seconds(oldestSubmittedSeconds)}
        />
        <Figure name="Completed in an hour" value={count(changedInLastHour.TASK_STATE_COMPLETED)} />
        <Figure name="Failed in an hour" value={count(changedInLastHour.TASK_STATE_FAILED)} />
        <Figure name="Median duration" value={completion === undefined ? '–' : seconds(completion.p50)} />
        <Figure name="99% within" value={completion === undefined ? '–' : seconds(completion.p99)} />
      </dl>
    </section>
  );
}
