/** The tasks that wait for a person, for the inbox and for its number in the navigation. */
import { computed, signal } from '@preact/signals';
import type { TaskSummary } from '#shared/domain/views.ts';
import { search } from './calls.ts';
import { feedOpened, onFeed } from './feed.ts';

export const waitingTasks = signal<readonly TaskSummary[] | undefined>(undefined);
export const waitingCount = computed(() => waitingTasks.value?.length ?? 0);

const settleMs = 300;
const query = new URLSearchParams({
  state: 'TASK_STATE_INPUT_REQUIRED,TASK_STATE_AUTH_REQUIRED',
  pageSize: '100',
});

export async function loadWaiting(): Promise<void> {
  waitingTasks.value = (await search(query)).tasks;
}

/** Keeps the list current until the returned function is called. */
export function startWaiting(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const load = (): void => {
    timer = undefined;
    // A list that cannot be read now is read after the next event.
    loadWaiting().catch(() => undefined);
  };
  // Calls at once too.
  const stopOpened = feedOpened.subscribe(load);
  const stop = onFeed(({ kind }) => {
    if (kind === 'state') timer ??= setTimeout(load, settleMs);
  });
  return () => {
    stop();
    stopOpened();
    clearTimeout(timer);
  };
}
