/** Reads the tasks and messages of another agent, which may be malformed. */
import { Message as WireMessage, StreamResponse as WireEvent, Task as WireTask } from '@a2a-js/sdk';
import type { Artifact, Message, Part } from '#shared/domain/message.ts';
import { taskStates } from '#shared/domain/task.ts';
import { isId, maxIdChars } from './ids.ts';
import { RefusedError, type RemoteEvent, type RemoteTask, type Sent } from './agent.ts';

/** The form in which the SDK returns what was sent. */
type WireSent = WireTask | WireMessage;

/**
 * @param asked the task that the message continues
 * @throws {RefusedError} if the answer is malformed, or is about another task
 */
export function readSent(
  name: string,
  sent: WireSent,
  { notifies, asked }: { notifies: boolean; asked: string | undefined },
): Sent {
  if (!('messageId' in sent)) return { task: readTask(name, sent, asked), notifies };
  const { parts = [], contextId = '' } = WireMessage.toJSON(sent) as Partial<Message>;
  return { message: parts, contextId };
}

/**
 * @param asked the id that the task must have. Default: any
 * @throws {RefusedError} if the task is malformed, or another one
 */
export function readTask(name: string, wire: WireTask, asked?: string): RemoteTask {
  const task = WireTask.toJSON(wire) as {
    id?: string;
    contextId?: string;
    status?: JsonStatus;
    artifacts?: Partial<Artifact>[];
  };
  const { id = '', contextId = '', status, artifacts = [] } = task;
  if (!isId(id)) {
    throw new RefusedError(
      `The agent "${name}" answered with a task whose id is not valid: expected 1 to ${maxIdChars} characters.`,
    );
  }
  if (asked !== undefined && id !== asked) {
    throw new RefusedError(`The agent "${name}" answered with the task ${id} to a question about ${asked}.`);
  }
  return {
    id,
    contextId: isId(contextId) ? contextId : '',
    ...readStatus(status),
    artifacts: artifacts.map((artifact, index) => ({
      ...artifact,
      artifactId: artifact.artifactId ?? String(index),
      parts: artifact.parts ?? [],
    })),
  };
}

interface JsonStatus {
  state?: string;
  message?: { parts?: Part[]; extensions?: string[] };
}

function readStatus(status: JsonStatus | undefined): Pick<RemoteTask, 'state' | 'message' | 'extensions'> {
  return {
    // A state of a later version of A2A: the task is polled until it has one that is known.
    state: taskStates.find((known) => known === status?.state) ?? 'TASK_STATE_WORKING',
    message: status?.message?.parts ?? [],
    extensions: status?.message?.extensions ?? [],
  };
}

/**
 * Reads an event of the stream of a task.
 *
 * @throws {RefusedError} if it is malformed, or is about another task
 */
export function readEvent(name: string, wire: WireEvent, asked: string): RemoteEvent {
  const { payload } = wire;
  if (payload?.$case === 'task') return { task: readTask(name, payload.value, asked) };
  const { statusUpdate, artifactUpdate } = WireEvent.toJSON(wire) as {
    statusUpdate?: { taskId?: string; status?: JsonStatus };
    artifactUpdate?: {
      taskId?: string;
      artifact?: Partial<Artifact>;
      append?: boolean;
      lastChunk?: boolean;
    };
  };
  const { taskId } = statusUpdate ?? artifactUpdate ?? {};
  if (taskId !== asked) {
    throw new RefusedError(
      `The stream of the agent "${name}" about the task ${asked} has an event of ${taskId ?? 'no task'}.`,
    );
  }
  if (statusUpdate !== undefined) return { status: readStatus(statusUpdate.status) };
  const { artifact, append = false, lastChunk = false } = artifactUpdate ?? {};
  const { artifactId, parts = [], ...head } = artifact ?? {};
  if (artifactId === undefined) {
    throw new RefusedError(`The stream of the agent "${name}" has an artifact without an id.`);
  }
  return { artifact: { ...head, artifactId, parts }, append, lastChunk };
}
