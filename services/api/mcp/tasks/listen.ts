/**
 * `subscriptions/listen` for tasks (SEP-2663, "Task Status Notifications"): the follower of events behind the streams of A2A
 * reports each change of state, in the same order.
 *
 *   acknowledged ─▶ the tasks as they are ─▶ each new state ─▶ all have ended ─▶ the result
 *
 * The SDK does not know `taskIds`, so the stream is written here. The request has been checked by its rules before.
 */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { Follower } from '#shared/db/events/follower.ts';
import { isTerminal } from '#shared/domain/task.ts';
import { abortCall, authenticatedCaller, getSignal } from '../../handler/call-state.ts';
import { getNewState } from '../../handler/stream.ts';
import type { OpenStreams } from '../../limits/open-streams.ts';
import { createMissingTasksError, errorCode, McpError } from '../errors.ts';
import { mergeStreams } from './merge-streams.ts';
import {
  declaresTasks,
  showsForms,
  subscriptionIdKey,
  type ClientCapabilities,
  type TaskJson,
} from '../protocol.ts';
import { toDetailedTask } from './task.ts';
import type { Tasks } from './tasks.ts';

export interface ListenParts {
  tasks: Tasks;
  follower: Follower;
  streams: OpenStreams;
  retentionSeconds: number;
}

export interface ListenRequest {
  id: string | number;
  taskIds: readonly string[];
  capabilities: ClientCapabilities;
}

/** Each is followed by a reader of its own. */
const maxTaskIds = 100;

/** Yields messages of JSON-RPC. Throws before the first if the request is refused. */
export async function* listenToTasks(
  parts: ListenParts,
  { id, taskIds, capabilities }: ListenRequest,
  context: ServerCallContext,
): AsyncGenerator<object, void, undefined> {
  if (!declaresTasks(capabilities)) throw createMissingTasksError();
  const ids = [...new Set(taskIds)];
  if (ids.length > maxTaskIds) {
    throw new McpError(
      errorCode.invalidParams,
      `notifications.taskIds has ${ids.length} ids: send at most ${maxTaskIds}`,
    );
  }
  const caller = authenticatedCaller.get(context);
  const close = parts.streams.open(caller, () => abortCall(context));
  try {
    const forms = showsForms(capabilities);
    const found: { id: string; lastEvent: number }[] = [];
    for (const taskId of ids) {
      const version = await parts.tasks.getVersion(taskId, context);
      if (version !== undefined) found.push({ id: taskId, lastEvent: version.lastEvent });
    }
    const _meta = { [subscriptionIdKey]: id };
    const notify = (method: string, params: object): object => ({
      jsonrpc: '2.0',
      method,
      params: { ...params, _meta },
    });
    yield notify('notifications/subscriptions/acknowledged', {
      notifications: { taskIds: found.map((task) => task.id) },
    });
    const streams = found.map((task) => followTask(parts, task.id, task.lastEvent, context));
    for await (const task of mergeStreams(streams)) {
      yield notify('notifications/tasks', toDetailedTask(task, parts.retentionSeconds, forms));
    }
    caller?.credential?.check();
    yield { jsonrpc: '2.0', id, result: { resultType: 'complete', _meta } };
  } finally {
    close();
  }
}

/** Yields a task as it is, and then in each of its later states, until it has ended. */
async function* followTask(
  { tasks, follower }: ListenParts,
  id: string,
  lastEvent: number,
  context: ServerCallContext,
): AsyncGenerator<TaskJson, void, undefined> {
  const task = await tasks.get(id, context);
  yield task;
  if (isTerminal(task.status.state)) return;
  let known = task.status;
  for await (const event of follower.follow(id, lastEvent, getSignal(context))) {
    const state = getNewState(event);
    if (state === undefined || !('statusUpdate' in event.payload)) continue;
    const { status, contextId } = event.payload.statusUpdate;
    // The task as it was read contains the first of these events.
    if (status.timestamp < known.timestamp) continue;
    if (status.timestamp === known.timestamp && state === known.state) continue;
    known = status;
    // The end comes with what the task has produced.
    yield isTerminal(state) ? await tasks.get(id, context) : { id, contextId, status };
    if (isTerminal(state)) return;
  }
}
