/** The timeline of a task: what ran when, as bars on an axis on which time without work is folded. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Timeline } from '#shared/domain/views.ts';
import { formatDuration, formatExactTime } from '../../lib/format.ts';
import { createTimeAxis, type TimeAxis } from '../../lib/time-axis.ts';
import { createRows, getSpan, listWork, type TimelineRow } from '../../lib/timeline-rows.ts';
import type { StepName } from '../../lib/types.ts';
import { Button, Skeleton } from '../../ui/basics.tsx';
import { now } from '../../ui/now.ts';

/** More rows are shown on demand: a task may have thousands of steps. */
const firstRows = 60;
/** Ticks further right have no room for their text. */
const lastTick = 0.95;

interface TimelineChartProps {
  timeline: Timeline | undefined;
  /** Called for a step from which the turn is to run again. */
  onRerun: (step: StepName) => void;
}

export function TimelineChart({ timeline, onRerun }: TimelineChartProps): JSX.Element {
  const [all, setAll] = useState(false);
  if (timeline === undefined) return <Skeleton lines={4} />;
  const rows = createRows(timeline);
  const runs = rows.some(({ to }) => to === undefined);
  const current = runs ? now.value : 0;
  const axis = createTimeAxis(getSpan(timeline, rows, current), listWork(rows, current));
  const shown = all ? rows : rows.slice(0, firstRows);
  return (
    <div class="timeline" role="table" aria-label="Timeline">
      <div class="timeline-row timeline-axis" role="row">
        <span role="columnheader">Work</span>
        <span role="columnheader" class="track" aria-label="Time since the task was accepted">
          {axis.ticks
            .filter(({ position }) => position < lastTick)
            .map(({ position, ms }) => (
              <span key={ms} class="tick" style={{ left: `${position * 100}%` }}>
                {formatTick(ms)}
              </span>
            ))}
        </span>
        <span role="columnheader" class="lasted">
          Lasted
        </span>
      </div>
      {shown.map((row) => (
        <Row key={row.key} row={row} axis={axis} now={current} onRerun={onRerun} />
      ))}
      {rows.length > shown.length && (
        <button type="button" class="link" onClick={() => setAll(true)}>
          Show {rows.length - shown.length} more
        </button>
      )}
      {timeline.cut.length > 0 && (
        <p class="hint">Older entries are left out of: {timeline.cut.join(', ')}. The newest are shown.</p>
      )}
    </div>
  );
}

interface RowProps {
  row: TimelineRow;
  axis: TimeAxis;
  now: number;
  onRerun: (step: StepName) => void;
}

function Row({ row, axis, now, onRerun }: RowProps): JSX.Element {
  const { kind, label, detail, depth, tone, from, to, error, step } = row;
  const start = axis.at(from);
  const end = axis.at(to ?? now);
  const lasted = formatDuration((to ?? now) - from);
  const title = `${label}: from ${formatExactTime(new Date(from).toISOString())}, ${lasted}${to === undefined ? ' so far' : ''}`;
  return (
    <div class={`timeline-row kind-${kind} depth-${depth}`} role="row">
      <span role="rowheader" class="timeline-label" title={error ?? `${label} ${detail}`}>
        <span class={`dot kind-${kind} ${tone}`} />
        <span class="timeline-name">{label}</span>
        <span class="timeline-detail">{detail}</span>
        {error !== undefined && <span class="timeline-error">{error}</span>}
        {step !== undefined && (
          <Button
            kind="quiet"
            icon="refresh"
            label={`Run again from ${label}`}
            onClick={() => onRerun(step)}
          />
        )}
      </span>
      <span role="cell" class="track" title={title}>
        {axis.folds.map((fold) => (
          <span
            key={fold.start}
            class="fold"
            style={{ left: `${fold.start * 100}%`, width: `${(fold.end - fold.start) * 100}%` }}
            title={`${formatDuration(fold.to - fold.from)} without work`}
          />
        ))}
        <span
          class={`bar kind-${kind} ${tone}${to === undefined ? ' running' : ''}`}
          style={{ left: `${start * 100}%`, width: `${Math.max(0, end - start) * 100}%` }}
        />
      </span>
      <span role="cell" class="lasted">
        {lasted}
      </span>
    </div>
  );
}

function formatTick(ms: number): string {
  return ms === 0
    ? '0'
    : formatDuration(ms)
        .replace(/\.0 s$/, ' s')
        .replace(/ 00 [sm]$/, '')
        .replace(/ d 0 h$/, ' d');
}
