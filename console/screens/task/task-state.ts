/** The state of the task screen, kept current: the task by its stream, and its timeline. */
import { signal, type Signal } from '@preact/signals';
import type { Timeline } from '#shared/domain/views.ts';
import { getTimeline } from '../../api/calls.ts';
import { onFeed } from '../../api/feed.ts';
import { ApiError } from '../../api/http.ts';
import { followStream } from '../../api/stream.ts';
import type { StreamPayload } from '../../lib/types.ts';
import { isRunning } from '../../lib/states.ts';
import { applyPayload, noTask, type StreamedTask } from '../../lib/task-stream.ts';

export interface TaskView {
  streamed: Signal<StreamedTask>;
  timeline: Signal<Timeline | undefined>;
  error: Signal<string | undefined>;
  /** Reads everything again, such as after an action. */
  refresh: () => void;
  close: () => void;
}

const settleMs = 150;
/** Steps have no events of their own, so the timeline of a running task is read from time to time. */
const pollMs = 1_000;
const replayExtension = 'https://longhaul.dev/ext/replay/v1';

export function openTask(taskId: string): TaskView {
  const streamed = signal<StreamedTask>(noTask);
  const timeline = signal<Timeline | undefined>(undefined);
  const error = signal<string | undefined>(undefined);
  const closing = new AbortController();
  let streaming = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const follow = (): void => {
    if (streaming) return;
    streaming = true;
    followStream({
      path: `/tasks/${encodeURIComponent(taskId)}:subscribe`,
      headers: { 'a2a-extensions': replayExtension },
      signal: closing.signal,
      onEvent: ({ data }) => {
        const payload = JSON.parse(data) as StreamPayload | { error: { message?: string } };
        if ('error' in payload) return;
        streamed.value = applyPayload(streamed.value, payload);
        error.value = undefined;
        scheduleTimeline(settleMs);
      },
      // The server ends the stream when the task has ended or waits for its caller.
      continues: () => isRunning(streamed.value.task?.status.state ?? 'TASK_STATE_WORKING'),
    })
      .catch((problem: unknown) => (error.value = describe(problem)))
      .finally(() => (streaming = false));
  };
  const readTimeline = async (): Promise<void> => {
    timer = undefined;
    try {
      timeline.value = await getTimeline(taskId);
    } catch (problem) {
      if (timeline.value === undefined) error.value = describe(problem);
    }
    const state = timeline.value?.state;
    const hasPending = timeline.value?.deliveries.some((delivery) => delivery.state === 'pending') ?? false;
    if ((state !== undefined && isRunning(state)) || hasPending) scheduleTimeline(pollMs);
  };
  const scheduleTimeline = (ms: number): void => {
    if (closing.signal.aborted) return;
    timer ??= setTimeout(() => void readTimeline(), document.hidden ? pollMs * 5 : ms);
  };
  const refresh = (): void => {
    follow();
    clearTimeout(timer);
    timer = undefined;
    scheduleTimeline(0);
  };
  const stopFeed = onFeed((event) => {
    if (event.taskId !== taskId) return;
    follow();
    scheduleTimeline(settleMs);
  });
  refresh();

  return {
    streamed,
    timeline,
    error,
    refresh,
    close: () => {
      closing.abort();
      stopFeed();
      clearTimeout(timer);
    },
  };
}

function describe(problem: unknown): string {
  if (problem instanceof ApiError && problem.status === 404) {
    return 'This task was not found. It may belong to another owner, or its retention time is over.';
  }
  return (problem as Error).message;
}
