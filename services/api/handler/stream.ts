/**
 * Waits for tasks and streams them. Both read events and nothing else (invariant 5), so all callers see one
 * order, regardless of the processes that write and serve the events.
 */
import type { Follower } from '#shared/db/events/follower.ts';
import { outOfBandKey, type TaskEvent } from '#shared/domain/events.ts';
import { getStateClass, isTerminal, stateClass, type TaskState } from '#shared/domain/task.ts';
import { UnavailableError } from './errors.ts';

/** Resolves when an event after `after` makes the task terminal or interrupted, or when the signal aborts. */
export async function waitUntilSettled(
  follower: Follower,
  taskId: string,
  after: number,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of follower.follow(taskId, after, signal)) {
    const state = getNewState(event);
    if (state !== undefined && getStateClass(state) !== stateClass.runnable) return;
  }
}

/**
 * Yields the events after `after`, up to and including the one that ends the stream: a terminal state, or
 * waiting for the client.
 *
 * @param known the last event when the stream started; an earlier state of waiting does not end it
 * @throws {UnavailableError} if this process shuts down first: another process can continue the stream
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
    if (closesStream(event, known)) return;
  }
  if (!signal.aborted) {
    throw new UnavailableError(
      'This server is shutting down. Subscribe to the task again to continue its stream on another server.',
    );
  }
}

/**
 * Returns whether an event closes a stream.
 *
 * @param known as for `streamEvents`
 */
export function closesStream(event: TaskEvent, known: number): boolean {
  const state = getNewState(event);
  if (state === undefined) return false;
  if (isTerminal(state)) return true;
  const waits = getStateClass(state) === stateClass.interrupted && !isAnsweredElsewhere(event);
  return waits && event.seq >= known;
}

/** Whether the task waits for a credential that does not come from the client: its stream then stays open (section 7.6.1). */
function isAnsweredElsewhere({ payload }: TaskEvent): boolean {
  return 'statusUpdate' in payload && payload.statusUpdate.metadata?.[outOfBandKey] === true;
}

/** Returns the state that an event moves the task to; undefined if the event keeps the state. */
export function getNewState(event: TaskEvent): TaskState | undefined {
  return event.kind === 'state' && 'statusUpdate' in event.payload
    ? event.payload.statusUpdate.status.state
    : undefined;
}

/**
 * Limits the time of a wait. Everything that it allocates is freed when the wait ends: `AbortSignal.timeout`
 * and `AbortSignal.any` would keep their memory until the time is up, and most waits end long before.
 *
 * @param signal ends the wait early
 * @param run receives a signal that aborts together with `signal`, or after `ms` milliseconds
 */
export async function withTimeout<T>(
  ms: number,
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const bound = new AbortController();
  const end = (): void => bound.abort();
  const timer = setTimeout(end, ms);
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    return await run(bound.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}
