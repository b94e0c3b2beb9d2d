/**
 * Waiting for a task and streaming it. Both read events and nothing else (invariant 5), so that every caller sees one
 * order, whichever process writes and whichever serves.
 */
import type { Follower } from '#shared/db/events/follower.ts';
import type { TaskEvent } from '#shared/domain/events.ts';
import { getStateClass, isTerminal, stateClass, type TaskState } from '#shared/domain/task.ts';
import { UnavailableError } from './errors.ts';

/** Resolves when the task reaches a terminal or interrupted state after an event, or when the signal aborts. */
export async function untilSettled(
  follower: Follower,
  taskId: string,
  after: number,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of follower.follow(taskId, after, signal)) {
    const state = stateOf(event);
    if (state !== undefined && getStateClass(state) !== stateClass.runnable) return;
  }
}

/**
 * Events after a number, up to and with the one that ends the stream: a terminal state, or becoming input-required.
 *
 * @param known the last event that there was when the stream began: having been input-required before ends nothing
 * @throws {UnavailableError} when this process stops before: the stream goes on at another
 */
export async function* streamEvents(
  follower: Follower,
  taskId: string,
  after: number,
  known: number,
  signal: AbortSignal,
): AsyncGenerator<TaskEvent, void, undefined> {
  for await (const event of follower.follow(taskId, after, signal)) {
    yield event;
    const state = stateOf(event);
    if (state === undefined) continue;
    if (isTerminal(state) || (state === 'TASK_STATE_INPUT_REQUIRED' && event.seq >= known)) return;
  }
  if (!signal.aborted) {
    throw new UnavailableError('This server is stopping. Subscribe to the task again: it goes on elsewhere.');
  }
}

/** The state that an event changes the task to; undefined for events within a state. */
function stateOf(event: TaskEvent): TaskState | undefined {
  return event.kind === 'state' && 'statusUpdate' in event.payload
    ? event.payload.statusUpdate.status.state
    : undefined;
}
