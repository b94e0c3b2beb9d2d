/**
 * Follows a task until it ends or waits for its client, over broken connections and restarts of the agent.
 *
 * An agent with the replay extension continues after the last event. With others, the task is read again, and a
 * subscription starts at its current state: nothing is lost but the order of what happened in between.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  A2AError,
  ExtensionSupportRequiredError,
  InvalidAgentResponseError,
  RequestMalformedError,
  TaskNotFoundError,
  VersionNotSupportedError,
} from '@a2a-js/sdk/errors';
import { outOfBandKey } from '#shared/domain/events.ts';
import { getStateClass, stateClass, taskStates, type TaskState } from '#shared/domain/task.ts';
import { CliError } from '../failure.ts';
import type { Agent } from './connect.ts';
import { TransientError } from './http.ts';
import type { StreamEventJson, TaskJson } from './json.ts';

export const replayExtension = 'https://longhaul.dev/ext/replay/v1';

/** An agent that gives no answer for this long is given up, in milliseconds. */
const patienceMs = 5 * 60_000;
const maxDelayMs = 5_000;

export interface FollowOptions {
  signal: AbortSignal;
  /** Called before each new connection with the reason for it. */
  onReconnect?: (reason: string) => void;
}

/**
 * Yields the events of a task up to the one that ends it or makes it wait for its client.
 *
 * @param stream a stream that is open already, such as that of a send
 * @throws {CliError} if the agent gives no answer for five minutes
 */
export async function* followTask(
  agent: Agent,
  id: string | undefined,
  { signal, onReconnect }: FollowOptions,
  stream?: AsyncIterable<StreamEventJson>,
): AsyncGenerator<StreamEventJson, void, undefined> {
  const progress: Progress = { id, lastEvent: undefined, lastTask: undefined };
  let source = stream ?? open(agent, progress, signal);
  let lastAnswer = performance.now();
  for (let failures = 0; ;) {
    let reason = 'the stream ended early';
    try {
      for await (const event of source) {
        failures = 0;
        lastAnswer = performance.now();
        const isKnown = record(progress, event);
        if (!isKnown) yield event;
        if (isSettled(event)) return;
      }
    } catch (error) {
      if (signal.aborted || progress.id === undefined || !mayResume(error)) throw error;
      reason = (error as Error).message;
    }
    if (progress.id === undefined)
      throw new CliError('the agent ended the stream without a task or a message');
    if (performance.now() - lastAnswer > patienceMs) {
      throw new CliError(
        `no answer for five minutes (${reason}). The task may continue: longhaul watch ${progress.id}`,
      );
    }
    onReconnect?.(reason);
    await sleep(Math.min(maxDelayMs, 200 * 2 ** failures++), undefined, { signal });
    source = open(agent, progress, signal);
  }
}

interface Progress {
  id: string | undefined;
  /** Number of the last event, if the agent numbers them. */
  lastEvent: number | undefined;
  /** The last task that was yielded, as JSON. */
  lastTask: string | undefined;
}

async function* open(
  agent: Agent,
  { id, lastEvent }: Progress,
  signal: AbortSignal,
): AsyncGenerator<StreamEventJson, void, undefined> {
  if (id === undefined) return;
  if (agent.supports(replayExtension)) {
    const after: Record<string, string> =
      lastEvent === undefined ? {} : { 'last-event-id': String(lastEvent) };
    yield* agent.subscribe(id, { 'a2a-extensions': replayExtension, ...after });
    return;
  }
  const task = await agent.get(id);
  yield { task };
  if (isSettled({ task })) return;
  if (agent.card.capabilities?.streaming === true) yield* agent.subscribe(id, {});
  else yield* poll(agent, task, signal);
}

async function* poll(
  agent: Agent,
  known: TaskJson,
  signal: AbortSignal,
): AsyncGenerator<StreamEventJson, void, undefined> {
  for (let task = known, ms = 250; !isSettled({ task }); ms = Math.min(maxDelayMs, ms * 1.5)) {
    await sleep(ms, undefined, { signal });
    task = await agent.get(known.id);
    yield { task };
  }
}

/** Returns whether the event is a task as it was before: each connection starts with one. */
function record(progress: Progress, event: StreamEventJson): boolean {
  const { task, statusUpdate, artifactUpdate } = event;
  progress.id ??= task?.id ?? statusUpdate?.taskId ?? artifactUpdate?.taskId;
  const replay = (task ?? statusUpdate ?? artifactUpdate)?.metadata?.[replayExtension];
  const isNumbered = typeof replay === 'object' && replay !== null && !Array.isArray(replay);
  const number = isNumbered && typeof replay['event'] === 'number' ? replay['event'] : undefined;
  const before = { ...progress };
  progress.lastEvent = number ?? progress.lastEvent;
  if (task === undefined) return false;
  progress.lastTask = JSON.stringify(task);
  return number === undefined
    ? progress.lastTask === before.lastTask
    : before.lastEvent !== undefined && number <= before.lastEvent;
}

/** Errors that another connection cannot cure. */
const permanent = [
  TaskNotFoundError,
  RequestMalformedError,
  VersionNotSupportedError,
  ExtensionSupportRequiredError,
  InvalidAgentResponseError,
];

/**
 * Whether a new connection can help. A subscription to a task that has ended in the meantime is refused as unsupported:
 * reading the task then shows its end.
 */
function mayResume(error: unknown): boolean {
  if (error instanceof CliError) return error instanceof TransientError;
  // The SDK reports an error within a stream as the cause of its own.
  const known = error instanceof Error && error.cause instanceof A2AError ? error.cause : error;
  return !permanent.some((type) => known instanceof type);
}

/** Whether the task has ended or waits for its client. */
export function isSettled({ task, message, statusUpdate }: StreamEventJson): boolean {
  if (message !== undefined) return true;
  const state = (task ?? statusUpdate)?.status?.state;
  if (state === 'TASK_STATE_AUTH_REQUIRED' && statusUpdate?.metadata?.[outOfBandKey] === true) return false;
  return state !== undefined && isState(state) && getStateClass(state) !== stateClass.runnable;
}

/** Agents may report `TASK_STATE_UNSPECIFIED`, or a state of a later version. */
export function isState(state: string): state is TaskState {
  return (taskStates as readonly string[]).includes(state);
}
