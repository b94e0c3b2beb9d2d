/**
 * The rows of the tasks screen. Pages are added at the end as the user scrolls. Events of the feed change rows in place;
 * while the top of the list is in view, the first page is read again, so that new tasks appear there.
 */
import { signal } from '@preact/signals';
import type { FeedEvent, TaskSummary } from '#shared/domain/views.ts';
import { search } from '../../api/calls.ts';
import { toSearchQuery, type TaskFilter } from '../../lib/task-filter.ts';
import { applyEvents, mergePage } from '../../lib/task-rows.ts';

export interface TaskList {
  rows: readonly TaskSummary[];
  /** Empty: all rows are there. */
  nextPageToken: string;
  /** Until the first page is there. */
  loading: boolean;
  error: string | undefined;
  /** Tasks that have changed or appeared since the first page was read. */
  unseen: number;
}

const empty: TaskList = { rows: [], nextPageToken: '', loading: true, error: undefined, unseen: 0 };

export const taskList = signal<TaskList>(empty);

let generation = 0;
let query = new URLSearchParams();
let loadingMore = false;
const unseen = new Set<string>();

export async function openList(filter: TaskFilter): Promise<void> {
  generation += 1;
  query = toSearchQuery(filter, Date.now());
  taskList.value = empty;
  await refreshFirstPage();
}

/** Reads the first page again. Rows further down stay. */
export async function refreshFirstPage(): Promise<void> {
  const current = generation;
  try {
    const page = await search(query);
    if (current !== generation) return;
    unseen.clear();
    const { rows, nextPageToken, loading } = taskList.value;
    const isOnlyPage = loading || page.nextPageToken === '' || rows.length <= page.tasks.length;
    taskList.value = {
      rows: isOnlyPage ? page.tasks : mergePage(page.tasks, rows),
      nextPageToken: isOnlyPage ? page.nextPageToken : nextPageToken,
      loading: false,
      error: undefined,
      unseen: 0,
    };
  } catch (error) {
    if (current === generation) {
      taskList.value = { ...taskList.value, loading: false, error: (error as Error).message };
    }
  }
}

/** Adds the next page. Pages of a filtered search may be empty, so it reads on until it has rows. */
export async function loadMore(): Promise<void> {
  if (loadingMore || taskList.value.nextPageToken === '') return;
  loadingMore = true;
  const current = generation;
  try {
    for (
      let found = 0, pages = 0;
      found === 0 && pages < 10 && taskList.value.nextPageToken !== '';
      pages += 1
    ) {
      const next = new URLSearchParams([...query, ['pageToken', taskList.value.nextPageToken]]);
      const page = await search(next);
      if (current !== generation) return;
      const known = new Set(taskList.value.rows.map(({ taskId }) => taskId));
      const added = page.tasks.filter(({ taskId }) => !known.has(taskId));
      found = added.length;
      taskList.value = {
        ...taskList.value,
        rows: [...taskList.value.rows, ...added],
        nextPageToken: page.nextPageToken,
      };
    }
  } catch (error) {
    if (current === generation) taskList.value = { ...taskList.value, error: (error as Error).message };
  } finally {
    loadingMore = false;
  }
}

/** @param atTop whether the user sees the top of the list, where new rows may appear */
export function applyFeed(events: readonly FeedEvent[], atTop: boolean): void {
  const { rows, changed } = applyEvents(taskList.value.rows, events);
  for (const id of changed) unseen.add(id);
  taskList.value = { ...taskList.value, rows, unseen: unseen.size };
  if (atTop && changed.length > 0) void refreshFirstPage();
}
