/** Reads the tasks and messages of another agent, which may be malformed. */
import { Message as WireMessage, Task as WireTask } from '@a2a-js/sdk';
import type { Artifact, Message, Part } from '#shared/domain/message.ts';
import { taskStates } from '#shared/domain/task.ts';
import { RefusedError, type RemoteTask, type Sent } from './agent.ts';

const maxIdChars = 512;

/** The form in which the SDK returns what was sent. */
type WireSent = WireTask | WireMessage;

/** @throws {RefusedError} if the answer is malformed */
export function readSent(name: string, sent: WireSent, notifies: boolean): Sent {
  if (!('messageId' in sent)) return { task: readTask(name, sent), notifies };
  const { parts = [], contextId = '' } = WireMessage.toJSON(sent) as Partial<Message>;
  return { message: parts, contextId };
}

/** @throws {RefusedError} if the task is malformed */
export function readTask(name: string, wire: WireTask): RemoteTask {
  const task = WireTask.toJSON(wire) as {
    id?: string;
    contextId?: string;
    status?: { state?: string; message?: { parts?: Part[] } };
    artifacts?: Partial<Artifact>[];
  };
  const { id = '', contextId = '', status, artifacts = [] } = task;
  if (!isId(id)) {
    throw new RefusedError(
      `The agent "${name}" answered with a task whose id is not valid: expected 1 to ${maxIdChars} characters.`,
    );
  }
  return {
    id,
    contextId: isId(contextId) ? contextId : '',
    // A state of a later version of A2A: the task is polled until it has one that is known.
    state: taskStates.find((known) => known === status?.state) ?? 'TASK_STATE_WORKING',
    message: status?.message?.parts ?? [],
    artifacts: artifacts.map((artifact, index) => ({
      ...artifact,
      artifactId: artifact.artifactId ?? String(index),
      parts: artifact.parts ?? [],
    })),
  };
}

/** Ids are stored, and sent back in URLs. */
export function isId(id: string): boolean {
  // oxlint-disable-next-line no-control-regex -- they cannot be stored
  return id !== '' && id.length <= maxIdChars && !/[\u0000-\u001F\u007F]/.test(id);
}
