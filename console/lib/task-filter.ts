/** The filter of the tasks screen, as the query of its address and as the query of a search. */
import { taskStates, type TaskState } from '#shared/domain/task.ts';

export interface TaskFilter {
  states: readonly TaskState[];
  /** Text of the last error. */
  error: string;
  webhook: '' | 'failing' | 'disabled';
  /** Created within this time. */
  within: Within | '';
  agent: string;
  metadataKey: string;
}

export const withinMs = { '1h': 3_600_000, '24h': 86_400_000, '7d': 7 * 86_400_000 } as const;
export type Within = keyof typeof withinMs;

export const noFilter: TaskFilter = {
  states: [],
  error: '',
  webhook: '',
  within: '',
  agent: '',
  metadataKey: '',
};

const toShort = (state: TaskState): string => state.slice('TASK_STATE_'.length).toLowerCase();

/** Reads the filter from an address. Values that are not valid are left out. */
export function parseFilter(query: string): TaskFilter {
  const params = new URLSearchParams(query);
  const wanted = new Set((params.get('state') ?? '').split(','));
  const webhook = params.get('webhook') ?? '';
  const within = params.get('within') ?? '';
  return {
    states: taskStates.filter((state) => wanted.has(toShort(state))),
    error: (params.get('error') ?? '').slice(0, 200),
    webhook: webhook === 'failing' || webhook === 'disabled' ? webhook : '',
    within: Object.hasOwn(withinMs, within) ? (within as Within) : '',
    agent: params.get('agent') ?? '',
    metadataKey: params.get('metadataKey') ?? '',
  };
}

/** Returns the query of the address, with the question mark; empty without a filter. */
export function formatFilter(filter: TaskFilter): string {
  const params = new URLSearchParams();
  if (filter.states.length > 0) params.set('state', filter.states.map(toShort).join(','));
  for (const name of ['error', 'webhook', 'within', 'agent', 'metadataKey'] as const) {
    if (filter[name] !== '') params.set(name, filter[name]);
  }
  const query = params.toString();
  return query === '' ? '' : `?${query.replaceAll('%2C', ',')}`;
}

export function toSearchQuery(filter: TaskFilter, now: number): URLSearchParams {
  const params = new URLSearchParams({ pageSize: '100' });
  if (filter.states.length > 0) params.set('state', filter.states.join(','));
  if (filter.within !== '') {
    params.set('createdSince', new Date(now - withinMs[filter.within]).toISOString());
  }
  for (const name of ['error', 'webhook', 'agent', 'metadataKey'] as const) {
    if (filter[name] !== '') params.set(name, filter[name]);
  }
  return params;
}

export function isFiltered(filter: TaskFilter): boolean {
  return formatFilter(filter) !== '';
}
