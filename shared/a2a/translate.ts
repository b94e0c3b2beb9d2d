/**
 * Converts between the wire types of `@a2a-js/sdk` and the domain. The domain uses the JSON form of A2A 1.0,
 * so the SDK's codecs do all the work.
 */
import {
  Message as WireMessage,
  StreamResponse,
  Task as WireTask,
  type TaskState as WireState,
  taskStateToJSON,
} from '@a2a-js/sdk';
import type { EventPayload } from '../domain/events.ts';
import type { Message } from '../domain/message.ts';
import type { A2aTask } from '../db/tasks/read.ts';
import { taskStates, type TaskState } from '../domain/task.ts';

export function messageFromWire(message: WireMessage): Message {
  return WireMessage.toJSON(message) as Message;
}

export function messageToWire(message: Message): WireMessage {
  return WireMessage.fromJSON(message);
}

export function taskToWire(task: A2aTask): WireTask {
  return WireTask.fromJSON(task);
}

export function eventToWire(payload: EventPayload): StreamResponse {
  return StreamResponse.fromJSON(payload);
}

/**
 * Converts the state of a filter. Returns undefined if no state is given or the number is not a known state.
 */
export function stateFromWire(wireState: WireState): TaskState | undefined {
  const name = taskStateToJSON(wireState);
  return taskStates.find((state) => state === name);
}
