/** One task in the list. */
import type { JSX } from 'preact';
import { Link } from 'wouter-preact';
import type { TaskSummary } from '#shared/domain/views.ts';
import { formatCost, formatDuration, shortId } from '../../lib/format.ts';
import { isRunning, needsPerson } from '../../lib/states.ts';
import { StatePill, Time } from '../../ui/basics.tsx';
import { Icon } from '../../ui/icons.tsx';
import { now } from '../../ui/now.ts';
import { previews } from './previews.ts';

interface TaskRowProps {
  task: TaskSummary;
  index: number;
  isCurrent: boolean;
  isSelected: boolean;
  /** The same function as long as the row need not be rendered again. */
  onSelect: (task: TaskSummary) => void;
}

export function TaskRow(props: TaskRowProps): JSX.Element {
  const { task, index, isCurrent, isSelected, onSelect } = props;
  const { taskId, state, createdAt, statusAt, usage, lastError, webhook } = task;
  const open = isRunning(state) || needsPerson(state);
  const lasted = (open ? now.value : Date.parse(statusAt)) - Date.parse(createdAt);
  const preview = previews.value.get(taskId);
  return (
    <div
      class={`task-row${isCurrent ? ' current' : ''}${isSelected ? ' selected' : ''}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isSelected}
    >
      <span role="cell" class="cell-check">
        <input
          type="checkbox"
          checked={isSelected}
          onChange={() => onSelect(task)}
          aria-label={`Select task ${shortId(taskId)}`}
        />
      </span>
      <span role="cell" class="cell-state">
        <StatePill state={state} />
      </span>
      <span role="cell" class="cell-task">
        <Link href={`/tasks/${taskId}`}>
          <span class="task-title">
            {preview === undefined || preview === '' ? `Task ${shortId(taskId)}` : preview}
          </span>
          {lastError !== undefined && state === 'TASK_STATE_FAILED' && (
            <span class="task-error">{lastError}</span>
          )}
        </Link>
        {webhook !== undefined && (
          <span class="flag" title={`A webhook of this task is ${webhook}`}>
            <Icon name="alert" />
            webhook {webhook}
          </span>
        )}
      </span>
      <span role="cell" class="cell-id mono">
        {shortId(taskId)}
      </span>
      <span role="cell" class="cell-number">
        {formatDuration(lasted)}
      </span>
      <span role="cell" class="cell-number cell-cost">
        {usage === undefined || usage.calls === 0 ? '–' : formatCost(usage.cost)}
      </span>
      <span role="cell" class="cell-number cell-age">
        <Time at={createdAt} />
      </span>
    </div>
  );
}
