/** Usage: cost and tokens by day and model, and the tasks in figures. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { TaskStats } from '#shared/domain/views.ts';
import { getStats, getUsage } from '../../api/calls.ts';
import { formatCost, formatCount, formatDuration } from '../../lib/format.ts';
import { createSeries, sumModels, toDay, type Measure } from '../../lib/usage-series.ts';
import { Empty, ErrorNote, Figure, Page, Skeleton } from '../../ui/basics.tsx';
import { useData, useFeed } from '../../ui/data.ts';
import { Plot } from './plot.tsx';

const ranges = [7, 30, 90] as const;
const dayMs = 86_400_000;
const measures: Readonly<Record<Measure, string>> = { cost: 'Cost', tokens: 'Tokens', calls: 'Calls' };

export function UsageScreen(): JSX.Element {
  const [days, setDays] = useState<(typeof ranges)[number]>(30);
  const [measure, setMeasure] = useState<Measure>('cost');
  const usage = useData(() => getUsage(toDay(Date.now() - (days - 1) * dayMs), toDay(Date.now())), [days]);
  const stats = useData(getStats, []);
  useFeed((events) => {
    if (!events.some(({ kind }) => kind === 'state')) return;
    usage.reload();
    stats.reload();
  }, 2_000);
  const report = usage.data;
  const models = report === undefined ? [] : sumModels(report.lines);
  return (
    <Page
      title="Usage"
      actions={
        <div class="segmented" role="group" aria-label="Days">
          {ranges.map((range) => (
            <button key={range} type="button" aria-pressed={range === days} onClick={() => setDays(range)}>
              {range} days
            </button>
          ))}
        </div>
      }
    >
      {stats.data !== undefined && <StatFigures stats={stats.data} />}
      {usage.error !== undefined && <ErrorNote error={usage.error} retry={usage.reload} />}
      {report === undefined ? (
        <Skeleton lines={8} />
      ) : models.length === 0 ? (
        <Empty icon="chart" title="No model was called in this time">
          <p>Each finished call of a model is counted on its day (UTC).</p>
        </Empty>
      ) : (
        <>
          <section class="card" aria-label="By day">
            <header class="card-head">
              <h2>By day</h2>
              <div class="segmented" role="group" aria-label="Measure">
                {(Object.keys(measures) as Measure[]).map((name) => (
                  <button
                    key={name}
                    type="button"
                    aria-pressed={name === measure}
                    onClick={() => setMeasure(name)}
                  >
                    {measures[name]}
                  </button>
                ))}
              </div>
            </header>
            <Plot series={createSeries(report, measure)} measure={measure} />
          </section>
          <section class="card" aria-label="By model">
            <table class="table">
              <thead>
                <tr>
                  <th>Model</th>
                  <th class="number">Calls</th>
                  <th class="number">Input</th>
                  <th class="number">Cached</th>
                  <th class="number">Output</th>
                  <th class="number">Cost</th>
                </tr>
              </thead>
              <tbody>
                {models.map(({ model, usage: { calls, tokens, cost, unpriced } }) => (
                  <tr key={model}>
                    <td>{model}</td>
                    <td class="number">{formatCount(calls)}</td>
                    <td class="number">{formatCount(tokens.prompt + tokens.tool)}</td>
                    <td class="number">{formatCount(tokens.cached)}</td>
                    <td class="number">{formatCount(tokens.output + tokens.thoughts)}</td>
                    <td class="number" title={unpriced > 0 ? `${unpriced} calls have no price` : undefined}>
                      {unpriced === calls ? '–' : formatCost(cost)}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
        </>
      )}
    </Page>
  );
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
