/**
 * SendMessage and SendStreamingMessage (A2A sections 3.1.1 and 3.1.2): accept, then answer at once, wait, or stream.
 *
 * A message is accepted when its transaction is committed (invariant 1); nothing after that can lose it. A repeat of a
 * message finds the task of the first, before the task's state is looked at, and waits or streams as the repeat asks.
 */
import { hash } from 'node:crypto';
import { SendMessageConfiguration, type Message as WireMessage, type SendMessageRequest } from '@a2a-js/sdk';
import { RequestMalformedError, TaskNotFoundError, UnsupportedOperationError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { messageFromWire } from '#shared/a2a/translate.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Accept } from '#shared/db/tasks/accept.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { findMissing, findSend, readTaskSnapshot, type Caller, type A2aTask } from '#shared/db/tasks/read.ts';
import type { EventPayload } from '#shared/domain/events.ts';
import { isUuid, uuidv7 } from '#shared/domain/ids.ts';
import type { Message } from '#shared/domain/message.ts';
import { isTerminal, type TaskState } from '#shared/domain/task.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { activeTraceparent } from '#shared/runtime/spans.ts';
import { withoutSecret } from '#shared/webhooks/options.ts';
import { getCaller } from './caller.ts';
import { checkMessage, checkPartSizes } from './validate/message.ts';
import { checkMediaTypes, type MediaTypes } from './validate/media-types.ts';
import type { PushConfigs } from './push-configs.ts';
import { readSchedule } from '../extensions/schedule.ts';
import type { StoredAgent } from './stored-agent.ts';
import { getWebhookOptions } from '../extensions/webhooks/options.ts';

export interface Sent {
  taskId: string;
  /** The turn that the message began. */
  turn: number;
  /** The task as this very send made it; undefined where the task existed. */
  created: A2aTask | undefined;
}

export interface SendParts {
  db: Db;
  accept: Accept;
  outbox: OutboxPublisher;
  agent: StoredAgent;
  /** From the start of a task to its deadline, where its sender names none. */
  taskSeconds: number | undefined;
  mediaTypes: MediaTypes;
  idempotencyWindowSeconds: number;
  wakeupGraceSeconds: number;
  pushConfigs: PushConfigs;
  limits: { partBytes: number };
}

/** @param shown whether this send gives its caller a Task whatever the agent answers */
export type Send = (request: SendMessageRequest, context: ServerCallContext, shown: boolean) => Promise<Sent>;

export function createSend(parts: SendParts): Send {
  return async (request, context, shown) => {
    const wire = checkMessage(request);
    checkPartSizes(wire, parts.limits.partBytes);
    checkMediaTypes(parts.mediaTypes, wire, request.configuration?.acceptedOutputModes ?? []);
    const message = messageFromWire(wire);
    const send: OneSend = {
      request,
      context,
      wire,
      message,
      caller: getCaller(context),
      requestHash: hashOf(message, request),
      shown,
    };
    if (wire.referenceTaskIds.length > 0) {
      const repeated = await findRepeat(parts, send, wire.messageId);
      if (repeated !== undefined) return repeated;
      const missing = await findMissing(parts.db, send.caller, wire.referenceTaskIds);
      if (missing !== undefined) {
        throw new TaskNotFoundError(`task ${missing}, which message.referenceTaskIds names, was not found`);
      }
    }
    return wire.taskId === '' ? begin(parts, send) : followUp(parts, send, wire.taskId);
  };
}

interface OneSend {
  request: SendMessageRequest;
  context: ServerCallContext;
  /** The message of the request, checked; and the same as it is stored. */
  wire: WireMessage;
  message: Message;
  caller: Caller;
  requestHash: string;
  shown: boolean;
}

async function begin(parts: SendParts, send: OneSend): Promise<Sent> {
  const { wire } = send;
  const taskId = uuidv7();
  const contextId = wire.contextId === '' ? uuidv7() : wire.contextId;
  const message: Message = { ...send.message, taskId, contextId };
  const statusAt = new Date().toISOString();
  const event = stateEvent(taskId, contextId, 'TASK_STATE_SUBMITTED', statusAt);
  const webhook = send.request.configuration?.taskPushNotificationConfig;
  const options = getWebhookOptions(send.context, send.request.metadata);
  const metadata = withoutSecret(send.request.metadata);
  const wakeups = await parts.accept({
    ...send.caller,
    taskId,
    contextId,
    agentHash: await parts.agent(),
    messageId: message.messageId,
    requestHash: send.requestHash,
    message: JSON.stringify(message),
    metadata: metadata === undefined ? null : JSON.stringify(metadata),
    acceptedOutputModes: outputModesOf(send.request),
    event: JSON.stringify(event),
    statusAt,
    shown: send.shown,
    ...readSchedule(send.request.metadata, Date.now(), parts.taskSeconds),
    traceparent: activeTraceparent(),
    webhook:
      webhook === undefined
        ? null
        : parts.pushConfigs.toRow(webhook, taskId, send.context.requestedVersion, options),
  });
  if (wakeups !== undefined) {
    passFaultPoint('message-stored');
    parts.outbox.publish(wakeups);
    const task: A2aTask = {
      id: taskId,
      contextId,
      status: { state: 'TASK_STATE_SUBMITTED', timestamp: statusAt },
      artifacts: [],
      history: [message],
      ...(metadata !== undefined && { metadata }),
    };
    return { taskId, turn: 1, created: task };
  }
  const repeated = await findRepeat(parts, send, message.messageId);
  // The window of the first send ended between the two looks: this one is the first of a new window.
  return repeated ?? begin(parts, send);
}

async function followUp(parts: SendParts, send: OneSend, taskId: string): Promise<Sent> {
  const { wire } = send;
  const repeated = await findRepeat(parts, send, wire.messageId);
  if (repeated !== undefined) return repeated;
  const found = isUuid(taskId)
    ? await readTaskSnapshot(parts.db, send.caller, taskId, { historyLength: 0, includeArtifacts: false })
    : undefined;
  if (found === undefined) throw new TaskNotFoundError(`task ${taskId} was not found`);
  const { contextId } = found.task;
  if (wire.contextId !== '' && wire.contextId !== contextId) {
    throw new RequestMalformedError(
      `message.contextId ${wire.contextId} is not the context of task ${taskId}`,
    );
  }
  const webhook = send.request.configuration?.taskPushNotificationConfig;
  if (webhook !== undefined && !isTerminal(found.task.status.state)) {
    const { context } = send;
    const options = getWebhookOptions(context, send.request.metadata);
    await parts.pushConfigs.create({ ...webhook, taskId }, send.caller, context.requestedVersion, options);
  }
  const statusAt = new Date().toISOString();
  const result = await acceptFollowUp(parts.db, parts, {
    ...send.caller,
    taskId,
    messageId: wire.messageId,
    requestHash: send.requestHash,
    message: JSON.stringify({ ...send.message, taskId, contextId }),
    acceptedOutputModes: outputModesOf(send.request),
    workingEvent: JSON.stringify(stateEvent(taskId, contextId, 'TASK_STATE_WORKING', statusAt)),
    statusAt,
    shown: send.shown,
    traceparent: activeTraceparent(),
  });
  switch (result.kind) {
    case 'accepted':
      passFaultPoint('message-stored');
      parts.outbox.publish(result.wakeups);
      return { taskId, turn: result.turn, created: undefined };
    case 'repeat':
      return (await findRepeat(parts, send, wire.messageId)) ?? followUp(parts, send, taskId);
    case 'terminal':
      throw new UnsupportedOperationError(
        `task ${taskId} is at its end and takes no more messages: send one without taskId, with contextId ${contextId}, to go on in a new task`,
      );
    default:
      return result satisfies never;
  }
}

async function findRepeat(parts: SendParts, send: OneSend, messageId: string): Promise<Sent | undefined> {
  if (parts.idempotencyWindowSeconds === 0) return undefined;
  const first = await findSend(parts.db, send.caller, messageId);
  if (first === undefined) return undefined;
  if (first.requestHash !== send.requestHash) {
    throw new RequestMalformedError(
      `messageId ${messageId} was used for another message: give each message an id of its own`,
    );
  }
  return { taskId: first.taskId, turn: first.turn, created: undefined };
}

export function stateEvent(
  taskId: string,
  contextId: string,
  state: TaskState,
  timestamp: string,
): EventPayload {
  return { statusUpdate: { taskId, contextId, status: { state, timestamp } } };
}

function outputModesOf(request: SendMessageRequest): string | null {
  const modes = request.configuration?.acceptedOutputModes ?? [];
  return modes.length === 0 ? null : JSON.stringify(modes);
}

/** What makes two sends the same: the message, and the configuration but for how the caller wants to be answered. */
function hashOf(message: Message, request: SendMessageRequest): string {
  const configuration = request.configuration && {
    ...(SendMessageConfiguration.toJSON(request.configuration) as Record<string, unknown>),
    returnImmediately: undefined,
    historyLength: undefined,
  };
  const content = JSON.stringify([message, configuration, request.metadata]);
  return hash('sha256', content, 'base64url');
}
