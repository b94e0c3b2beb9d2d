/** The usage of a time: a plot by day, and a table with its sums. */
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { formatCost, formatCount } from '../../lib/format.ts';
import { createSeries, sumByName, type Measure, type NamedUsage } from '../../lib/usage-series.ts';
import { Plot } from './plot.tsx';

const measures: Readonly<Record<Measure, string>> = { cost: 'Cost', tokens: 'Tokens', calls: 'Calls' };

export function UsageReportCards({ report, by }: { report: NamedUsage; by: 'model' | 'owner' }): JSX.Element {
  const [measure, setMeasure] = useState<Measure>('cost');
  const series = useMemo(() => createSeries(report, measure), [report, measure]);
  return (
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
        <Plot series={series} measure={measure} by={by} />
      </section>
      <section class="card" aria-label={`By ${by}`}>
        <table class="table">
          <thead>
            <tr>
              <th>{by === 'model' ? 'Model' : 'Owner'}</th>
              <th class="number">Calls</th>
              <th class="number">Input</th>
              <th class="number">Cached</th>
              <th class="number">Output</th>
              <th class="number">Cost</th>
            </tr>
          </thead>
          <tbody>
            {sumByName(report.lines).map(({ name, usage: { calls, tokens, cost, unpriced } }) => (
              <tr key={name}>
                <td class="usage-name">{name}</td>
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
  );
}
