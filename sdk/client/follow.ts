/**
 * Follows a task over broken connections:
 *
 *   subscribe ─▶ events ─▶ the task ends or waits for its caller: done
 *      ▲            │
 *      └──backoff───┘ the connection breaks: subscribe again, after the last event if the agent numbers its events
 */
import { StreamResponse } from '@a2a-js/sdk';
import {
  A2A_ERROR_CODE,
  A2AError,
  InvalidAgentResponseError,
  isJsonRpcError,
  isRestError,
  UnsupportedOperationError,
} from '@a2a-js/sdk/errors';
import { backoffSeconds } from '#shared/domain/backoff.ts';
import type { ArtifactUpdate, StatusUpdate } from '#shared/domain/events.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { getStateClass, stateClass } from '#shared/domain/task.ts';
import type { Task } from '../task.ts';
import { sleep } from './sleep.ts';

export const replayExtensionUri = 'https://longhaul.dev/ext/replay/v1';

/** `event`: the number of the event within its task, if the agent numbers its events. */
export type TaskEvent = (
  | { task: Task }
  | { statusUpdate: StatusUpdate }
  | { artifactUpdate: ArtifactUpdate }
) & { event: number | undefined };

export interface FollowOptions {
  /** The number of the last event that was seen. Default: starts with the current task. */
  after?: number;
  /** Failed connections in a row, each with a longer delay of at most 30 seconds, before the error is thrown. Default: 20. */
  retries?: number;
  signal?: AbortSignal;
}

export interface FollowParts {
  replays: boolean;
  options: FollowOptions;
  subscribe: (headers: Record<string, string>) => AsyncIterable<StreamResponse>;
  get: () => Promise<Task>;
}

const backoff = { firstSeconds: 0.25, longestSeconds: 30 };

export async function* followTask(parts: FollowParts): AsyncGenerator<TaskEvent, void, undefined> {
  const { replays, options, get } = parts;
  const { retries = 20, signal } = options;
  let last = options.after;
  if (last !== undefined && !replays) {
    throw new TypeError(`This agent numbers no events: its card does not declare ${replayExtensionUri}.`);
  }
  for (let failures = 0; ;) {
    let problem: unknown;
    try {
      for await (const response of parts.subscribe(createHeaders(replays, last))) {
        failures = 0;
        const event = toEvent(response);
        // A resumed stream starts with the task as of the last event.
        if (event === undefined || (event.event !== undefined && last !== undefined && event.event <= last))
          continue;
        last = event.event ?? last;
        yield event;
        if (isSettled(event)) return;
      }
    } catch (error) {
      // Without the extension, agents refuse to stream a task that has ended.
      if (error instanceof UnsupportedOperationError) {
        yield { task: await get(), event: undefined };
        return;
      }
      signal?.throwIfAborted();
      if (isFinal(error)) throw error;
      problem = error;
    }
    failures += 1;
    if (failures > retries) {
      throw new Error(`The stream broke ${failures} times in a row without an event.`, { cause: problem });
    }
    await sleep(backoffSeconds(failures, Math.random(), backoff) * 1000, signal);
  }
}

/** Whether the task has ended or waits for its caller. */
export function isSettled(event: TaskEvent): boolean {
  const status =
    'task' in event ? event.task.status : 'statusUpdate' in event ? event.statusUpdate.status : undefined;
  return status !== undefined && getStateClass(status.state) !== stateClass.runnable;
}

function createHeaders(replays: boolean, last: number | undefined): Record<string, string> {
  if (!replays) return {};
  return {
    'A2A-Extensions': replayExtensionUri,
    ...(last !== undefined && { 'Last-Event-ID': String(last) }),
  };
}

function toEvent(response: StreamResponse): TaskEvent | undefined {
  const json = StreamResponse.toJSON(response) as JsonObject;
  const payload = json['task'] ?? json['statusUpdate'] ?? json['artifactUpdate'];
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) return undefined;
  const metadata = payload['metadata'] as JsonObject | undefined;
  const extension = metadata?.[replayExtensionUri] as JsonObject | undefined;
  const event = extension?.['event'];
  return { ...json, event: typeof event === 'number' ? event : undefined } as unknown as TaskEvent;
}

/** Errors of the protocol are final, except those of an agent that is busy or broken. */
function isFinal(error: unknown): boolean {
  if (error instanceof UnauthorizedError) return true;
  if (isRestError(error)) return error.statusCode < 500 && error.statusCode !== 429;
  if (isJsonRpcError(error)) return error.envelopeCode !== A2A_ERROR_CODE.INTERNAL_ERROR;
  return error instanceof A2AError && !(error instanceof InvalidAgentResponseError);
}

/** The credentials are missing or wrong. */
export class UnauthorizedError extends Error {
  override readonly name = 'UnauthorizedError';
}
