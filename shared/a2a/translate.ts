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
import type { Message, Part } from '../domain/message.ts';
import type { A2aTask } from '../db/tasks/read.ts';
import { taskStates, type TaskState } from '../domain/task.ts';

export function messageFromWire(message: WireMessage): Message {
  return WireMessage.toJSON(message) as Message;
}

export function messageToWire(message: Message): WireMessage {
  const wire = WireMessage.fromJSON(message);
  keepNullData(message, wire);
  return wire;
}

export function taskToWire(task: A2aTask): WireTask {
  const wire = WireTask.fromJSON(task);
  keepNullData(task.status.message, wire.status?.message);
  keepNullDataOfAll(task.artifacts, wire.artifacts);
  keepNullDataOfAll(task.history, wire.history);
  return wire;
}

/** Converts an event, or a task in place of events. */
export function eventToWire(event: EventPayload | { task: A2aTask }): StreamResponse {
  if ('task' in event) return { payload: { $case: 'task', value: taskToWire(event.task) } };
  const wire = StreamResponse.fromJSON(event);
  if (wire.payload?.$case === 'statusUpdate' && 'statusUpdate' in event) {
    keepNullData(event.statusUpdate.status.message, wire.payload.value.status?.message);
  } else if (wire.payload?.$case === 'artifactUpdate' && 'artifactUpdate' in event) {
    keepNullData(event.artifactUpdate.artifact, wire.payload.value.artifact);
  }
  return wire;
}

/**
 * Restores the parts whose `data` is null: the codecs of the SDK (1.3) read them as parts without content, but null is
 * a value of google.protobuf.Value.
 *
 * @param json the message or artifact from which `wire` was read
 */
export function keepNullData(json: { parts?: unknown } | undefined, wire: WithParts | undefined): void {
  if (wire === undefined) return;
  for (const [index, part] of wire.parts.entries()) {
    if (part.content !== undefined) continue;
    const source = (json?.parts as readonly Partial<Part>[] | undefined)?.[index];
    if (source?.data === null) part.content = { $case: 'data', value: null };
  }
}

type WithParts = Pick<WireMessage, 'parts'>;

function keepNullDataOfAll(
  json: readonly { parts?: unknown }[] | undefined,
  wire: readonly WithParts[],
): void {
  for (const [index, item] of wire.entries()) keepNullData(json?.[index], item);
}

/**
 * Converts the state of a filter. Returns undefined if no state is given or the number is not a known state.
 */
export function stateFromWire(wireState: WireState): TaskState | undefined {
  const name = taskStateToJSON(wireState);
  return taskStates.find((state) => state === name);
}
