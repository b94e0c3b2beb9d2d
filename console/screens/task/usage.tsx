/** Tokens and cost of a task: in total, and of each call of a model. */
import type { JSX } from 'preact';
import { totalTokens } from '#shared/domain/usage.ts';
import type { Timeline } from '#shared/domain/views.ts';
import { formatCost, formatCount, formatDuration } from '../../lib/format.ts';
import { Empty, Figure, Skeleton } from '../../ui/basics.tsx';

export function TaskUsage({ timeline }: { timeline: Timeline | undefined }): JSX.Element {
  if (timeline === undefined) return <Skeleton lines={5} />;
  const { usage } = timeline;
  const calls = timeline.turns.flatMap(({ turn, steps }) =>
    steps.flatMap((step) => (step.usage === undefined ? [] : [{ turn, ...step, usage: step.usage }])),
  );
  if (usage === undefined || usage.calls === 0) {
    return (
      <Empty icon="chart" title="No model was called">
        <p>Each call of a model appears here with its tokens and cost when it has ended.</p>
      </Empty>
    );
  }
  const { tokens } = usage;
  return (
    <section class="card" aria-label="Usage">
      <dl class="figures">
        <Figure name="Cost" value={formatCost(usage.cost)} />
        <Figure name="Calls" value={formatCount(usage.calls)} />
        <Figure name="Input" value={formatCount(tokens.prompt + tokens.tool)} />
        <Figure name="of it cached" value={formatCount(tokens.cached)} />
        <Figure name="Thoughts" value={formatCount(tokens.thoughts)} />
        <Figure name="Output" value={formatCount(tokens.output)} />
      </dl>
      {usage.unpriced > 0 && <p class="hint">{usage.unpriced} calls have no price in the price table.</p>}
      <table class="table">
        <thead>
          <tr>
            <th>Model</th>
            <th>Turn</th>
            <th class="number">Tokens</th>
            <th class="number">Cost</th>
            <th class="number">Lasted</th>
          </tr>
        </thead>
        <tbody>
          {calls.map(({ turn, name, occurrence, usage: { model, tokens, cost }, startedAt, endedAt }) => (
            <tr key={`${turn}-${name}-${occurrence}`}>
              <td>{model}</td>
              <td>{turn}</td>
              <td class="number">{formatCount(totalTokens(tokens))}</td>
              <td class="number">{cost === undefined ? '–' : formatCost(cost)}</td>
              <td class="number">
                {endedAt === undefined ? '–' : formatDuration(Date.parse(endedAt) - Date.parse(startedAt))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
