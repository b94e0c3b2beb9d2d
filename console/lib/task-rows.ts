/** How the rows of a list of tasks change. Pure. */
import type { FeedEvent, TaskSummary } from '#shared/domain/views.ts';

/** Puts the first page, read again, before the rows that it does not have. */
export function mergePage(page: readonly TaskSummary[], rows: readonly TaskSummary[]): TaskSummary[] {
  const ids = new Set(page.map(({ taskId }) => taskId));
  const oldest = page.at(-1)?.statusAt ?? '';
  return [...page, ...rows.filter(({ taskId, statusAt }) => !ids.has(taskId) && statusAt <= oldest)];
}

/** Returns the rows with their new states, and the ids of the tasks whose state has changed, listed or not. */
export function applyEvents(
  rows: readonly TaskSummary[],
  events: readonly FeedEvent[],
): { rows: readonly TaskSummary[]; changed: string[] } {
  const states = new Map(
    events.filter(({ state }) => state !== undefined).map((event) => [event.taskId, event]),
  );
  if (states.size === 0) return { rows, changed: [] };
  const next = rows.map((row) => {
    const event = states.get(row.taskId);
    // Events of the same moment may come again.
    if (event?.state === undefined || event.at < row.statusAt) return row;
    return { ...row, state: event.state, statusAt: event.at };
  });
  return { rows: next, changed: [...states.keys()] };
}
