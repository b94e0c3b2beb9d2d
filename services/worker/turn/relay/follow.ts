/**
 * Follows the stream of another agent's task, and shows what it brings. The turn holds its slot meanwhile, so a stream that is
 * silent is left: the task is polled then, or its agent sends a notification.
 */
import { foldArtifacts } from '#shared/domain/events.ts';
import { getStateClass, stateClass } from '#shared/domain/task.ts';
import type { RemoteAgent, RemoteEvent, RemoteTask } from '../../agent/remote/agent.ts';
import type { Mirror } from './mirror.ts';

/** The longest silence of a stream. */
const silenceMs = 15_000;
/** Other turns need the slot too. */
const longestMs = 10 * 60_000;

export type Followed =
  /** The task has ended, or waits for its caller. */
  | { end: 'settled'; task: RemoteTask }
  /**
   * - `none`: the agent has no streams
   * - `refused`: it has brought nothing, as for a task that has ended
   * - `broken`: the connection was lost, or the stream is not valid
   * - `silent`: it has brought nothing for a while, or for too long
   */
  | { end: 'none' | 'refused' | 'broken' | 'silent' };

/**
 * @param signal ends the turn
 * @param releaseSignal asks the turn to give its slot back
 * @throws the reason of a signal, or the error of a write
 */
export async function followTask(
  remote: RemoteAgent,
  taskId: string,
  mirror: Mirror,
  { signal, releaseSignal, leftMs }: { signal: AbortSignal; releaseSignal: AbortSignal; leftMs: number },
): Promise<Followed> {
  const silence = new AbortController();
  const ends = AbortSignal.any([
    signal,
    releaseSignal,
    silence.signal,
    AbortSignal.timeout(Math.ceil(Math.max(0, Math.min(longestMs, leftMs)))),
  ]);
  const timer = setTimeout(() => silence.abort(), silenceMs);
  let task: RemoteTask | undefined;
  try {
    const events = await remote.follow(taskId, ends);
    if (events === undefined) return { end: 'none' };
    for await (const event of events) {
      timer.refresh();
      const isFirst = task === undefined;
      task = fold(task, event);
      if (task !== undefined && getStateClass(task.state) !== stateClass.runnable) {
        return { end: 'settled', task };
      }
      // The first task is shown like that of a poll. Later ones have the limits of events.
      await store(isFirst && 'task' in event ? mirror.show(event.task) : mirror.add(event));
      ends.throwIfAborted();
    }
    return { end: task === undefined ? 'refused' : 'broken' };
  } catch (error) {
    signal.throwIfAborted();
    releaseSignal.throwIfAborted();
    if (error instanceof StoreError) throw error.cause;
    if (ends.aborted) return { end: 'silent' };
    return { end: task === undefined ? 'refused' : 'broken' };
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

/** The failure of a write is that of the turn; others are those of the stream. */
class StoreError extends Error {}

async function store(written: Promise<unknown>): Promise<void> {
  try {
    await written;
  } catch (cause) {
    throw new StoreError('not stored', { cause });
  }
}

function fold(task: RemoteTask | undefined, event: RemoteEvent): RemoteTask | undefined {
  if ('task' in event) return event.task;
  if (task === undefined) return undefined;
  if ('status' in event) return { ...task, ...event.status };
  const { artifact, append } = event;
  const update = { taskId: '', contextId: '', artifact, append };
  return { ...task, artifacts: foldArtifacts([update], task.artifacts) };
}
