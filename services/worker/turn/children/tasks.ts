/** Checks the messages for children, and creates their tasks. */
import { hopsExtension } from '#shared/agent/hops.ts';
import { countTaskBytes } from '#shared/db/owners/bytes.ts';
import type { NewTask } from '#shared/db/tasks/accept.ts';
import type { ClaimedTask } from '#shared/db/turns/claim.ts';
import { childrenExtension, maxSpawnBytes } from '#shared/domain/children.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { createStateEvent } from '#shared/domain/events.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { Json, JsonObject, Message, Part } from '#shared/domain/message.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { activeTraceparent } from '#shared/runtime/spans.ts';
import type { TaskIds } from '../outcome.ts';
import { checkContent } from '../output/check.ts';

/** @throws {FatalError} if the messages are malformed or too large */
export function checkMessages(call: string, messages: unknown): void {
  if (!Array.isArray(messages)) {
    throw new FatalError(`${call}: messages must be a list, with a text or a list of parts for each child.`);
  }
  for (const [index, content] of messages.entries()) checkContent(`messages[${index}]`, content);
  const bytes = Buffer.byteLength(JSON.stringify(messages));
  if (bytes <= maxSpawnBytes) return;
  throw new FatalError(
    `${call}: the messages have ${bytes} bytes of JSON: they can have ${maxSpawnBytes} together. Send URLs of large content.`,
  );
}

export interface Parent extends TaskIds {
  task: Pick<ClaimedTask, 'owner' | 'tenant' | 'agentHash'>;
  /** Seconds from the start of a child to its deadline; undefined: that of the parent applies alone. */
  taskSeconds: number | undefined;
  /** The count of calls from agent to agent, from the metadata of the parent: its children have the same. */
  hops: Json | undefined;
}

export function createChildTask(
  parent: Parent,
  content: Part[] | string,
  context: 'own' | 'parent',
): NewTask {
  const now = databaseNow();
  const taskId = uuidv7(now);
  const contextId = context === 'own' ? uuidv7(now) : parent.contextId;
  const messageId = uuidv7(now);
  const parts = typeof content === 'string' ? [{ text: content }] : content;
  const message: Message = { messageId, taskId, contextId, role: 'ROLE_USER', parts };
  const statusAt = new Date(now).toISOString();
  const stored = {
    message: JSON.stringify(message),
    metadata: JSON.stringify({
      [childrenExtension]: { parent: parent.taskId },
      ...(parent.hops !== undefined && { [hopsExtension]: parent.hops }),
    }),
    acceptedOutputModes: null,
    event: JSON.stringify(createStateEvent(taskId, contextId, 'TASK_STATE_SUBMITTED', statusAt)),
  };
  const { owner, tenant, agentHash } = parent.task;
  const { taskSeconds } = parent;
  return {
    ...stored,
    owner,
    tenant,
    agentHash,
    taskId,
    contextId,
    opensContext: context === 'own',
    messageId,
    requestHash: '',
    bytes: countTaskBytes(stored),
    statusAt,
    shown: true,
    startAt: null,
    deadlineAt: taskSeconds === undefined ? null : new Date(now + 1000 * taskSeconds).toISOString(),
    priority: 0,
    traceparent: activeTraceparent(),
    webhook: null,
  };
}

/** Returns the id of the task that has started a child, from the metadata that the child was started with. */
export function readParentTaskId(metadata: JsonObject): string | undefined {
  const { parent } = (metadata[childrenExtension] ?? {}) as { parent?: string };
  return parent;
}
