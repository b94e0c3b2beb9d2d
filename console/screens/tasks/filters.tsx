/** The filter of the tasks screen: states as toggles, the rest as fields. Every change goes to the address. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { taskStates, type TaskState } from '#shared/domain/task.ts';
import type { TaskStats } from '#shared/domain/views.ts';
import { formatCount } from '../../lib/format.ts';
import { stateNames, stateTones } from '../../lib/states.ts';
import { isFiltered, noFilter, withinMs, type TaskFilter, type Within } from '../../lib/task-filter.ts';
import { Button } from '../../ui/basics.tsx';
import { Icon } from '../../ui/icons.tsx';

interface FiltersProps {
  filter: TaskFilter;
  stats: TaskStats | undefined;
  onChange: (filter: TaskFilter) => void;
}

const withinNames: Readonly<Record<Within, string>> = { '1h': 'hour', '24h': '24 hours', '7d': '7 days' };
const typingMs = 300;

export function Filters({ filter, stats, onChange }: FiltersProps): JSX.Element {
  const [error, setError] = useState(filter.error);
  useEffect(() => setError(filter.error), [filter.error]);
  useEffect(() => {
    if (error === filter.error) return undefined;
    const timer = setTimeout(() => onChange({ ...filter, error }), typingMs);
    return () => clearTimeout(timer);
  }, [error]);
  const toggle = (state: TaskState): void => {
    const states = filter.states.includes(state)
      ? filter.states.filter((known) => known !== state)
      : [...filter.states, state];
    onChange({ ...filter, states });
  };
  return (
    <div class="filters">
      <div class="chips" role="group" aria-label="States">
        {taskStates.map((state) => (
          <button
            key={state}
            type="button"
            class={`chip ${stateTones[state]}`}
            aria-pressed={filter.states.includes(state)}
            onClick={() => toggle(state)}
          >
            {stateNames[state]}
            <span class="chip-count">{formatStat(stats, state)}</span>
          </button>
        ))}
      </div>
      <div class="filter-fields">
        <label class="with-icon">
          <Icon name="search" />
          <input
            type="search"
            placeholder="Text of the error"
            aria-label="Text of the last error"
            maxLength={200}
            value={error}
            onInput={(event) => setError(event.currentTarget.value)}
          />
        </label>
        <select
          aria-label="Created within"
          value={filter.within}
          onChange={(event) => onChange({ ...filter, within: event.currentTarget.value as Within | '' })}
        >
          <option value="">Any time</option>
          {Object.keys(withinMs).map((name) => (
            <option key={name} value={name}>
              Last {withinNames[name as Within]}
            </option>
          ))}
        </select>
        <select
          aria-label="Webhooks"
          value={filter.webhook}
          onChange={(event) =>
            onChange({ ...filter, webhook: event.currentTarget.value as TaskFilter['webhook'] })
          }
        >
          <option value="">Any webhook</option>
          <option value="failing">Webhook failing</option>
          <option value="disabled">Webhook disabled</option>
        </select>
        {isFiltered(filter) && (
          <Button kind="quiet" icon="close" onClick={() => onChange(noFilter)}>
            Clear
          </Button>
        )}
      </div>
    </div>
  );
}

function formatStat(stats: TaskStats | undefined, state: TaskState): string {
  if (stats === undefined) return '·';
  const count = stats.states[state];
  return count > stats.countsUpTo ? `${formatCount(stats.countsUpTo)}+` : formatCount(count);
}
