/** The figures of a task in one line: age, duration, attempts, cost, agent. */
import type { JSX } from 'preact';
import type { Timeline } from '#shared/domain/views.ts';
import type { Task } from '../../lib/types.ts';
import { formatCost, formatCount, formatDuration } from '../../lib/format.ts';
import { isRunning, needsPerson } from '../../lib/states.ts';
import { totalTokens } from '#shared/domain/usage.ts';
import { Time } from '../../ui/basics.tsx';
import { now } from '../../ui/now.ts';
import { traceUrl } from '../../api/session.ts';

interface FactsProps {
  id: string;
  task: Task | undefined;
  timeline: Timeline | undefined;
}

export function Facts({ id, task, timeline }: FactsProps): JSX.Element | null {
  if (timeline === undefined) return null;
  const { createdAt, statusAt, turns, usage, agent } = timeline;
  const state = task?.status.state ?? timeline.state;
  const end = isRunning(state) || needsPerson(state) ? now.value : Date.parse(statusAt);
  const attempts = turns.reduce((sum, turn) => sum + turn.attempts.length, 0);
  return (
    <dl class="facts">
      <Fact name="Created">
        <Time at={createdAt} as="clock" />
      </Fact>
      <Fact name="Lasted">{formatDuration(end - Date.parse(createdAt))}</Fact>
      <Fact name="Turns">{turns.length}</Fact>
      <Fact name="Attempts">{attempts}</Fact>
      {usage !== undefined && usage.calls > 0 && (
        <>
          <Fact name="Tokens">{formatCount(totalTokens(usage.tokens))}</Fact>
          <Fact name="Cost">{formatCost(usage.cost)}</Fact>
        </>
      )}
      <Fact name="Agent">
        <span class="mono" title={agent}>
          {agent.slice(0, 8)}
        </span>
      </Fact>
      {traceUrl !== '' && (
        <Fact name="Traces">
          <a href={traceUrl.replaceAll('{taskId}', id)} target="_blank" rel="noopener noreferrer">
            Open
          </a>
        </Fact>
      )}
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: JSX.Element | string | number }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
