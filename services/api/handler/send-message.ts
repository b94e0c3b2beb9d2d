/**
 * Accepts messages for SendMessage and SendStreamingMessage (A2A sections 3.1.1 and 3.1.2). The caller of
 * `Send` then returns at once, waits, or streams.
 *
 * A message is accepted once its transaction is committed (invariant 1). No later failure can lose it. A
 * repeated message returns the task of the first, before the state of that task is checked.
 */
import type { Message as WireMessage, SendMessageRequest } from '@a2a-js/sdk';
import { RequestMalformedError, TaskNotFoundError, UnsupportedOperationError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { messageFromWire } from '#shared/a2a/translate.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { countFollowUpBytes, countTaskBytes } from '#shared/db/owners/bytes.ts';
import type { Accept, NewTask } from '#shared/db/tasks/accept.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { acceptFollowUp, type FollowUp } from '#shared/db/tasks/follow-up.ts';
import { findMissing, findSend, readTaskSnapshot, type Caller, type A2aTask } from '#shared/db/tasks/read.ts';
import { takeNewest } from '#shared/db/tasks/content.ts';
import { createStateEvent } from '#shared/domain/events.ts';
import { isUuid, uuidv7 } from '#shared/domain/ids.ts';
import type { Message } from '#shared/domain/message.ts';
import { maxTaskBytes, measure } from '#shared/domain/sizes.ts';
import type { ServiceTier } from '#shared/domain/service-tier.ts';
import { isTerminal } from '#shared/domain/task.ts';
import type { MessageLimits } from '#shared/runtime/config/api.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { activeTraceparent, inSpan, SpanKind, toContext } from '#shared/runtime/spans.ts';
import { withoutSecret } from '#shared/webhooks/options.ts';
import { traceparent } from './call-state.ts';
import { getCaller } from './caller.ts';
import { checkMessage } from './validate/message.ts';
import { checkMediaTypes, type MediaTypes } from './validate/media-types.ts';
import type { PushConfigs } from './push-configs.ts';
import {
  hashLargeRequest,
  hashRequest,
  writeLargeParts,
  writeMessage,
  writeParts,
  type PartsJson,
} from './message-json.ts';
import { minLargeBytes, type LargeWork } from '#shared/runtime/large-work.ts';
import type { OwnerQuotas } from '../limits/owner-quotas.ts';
import { QuotaExceededError } from '../limits/quota-error.ts';
import { readPriority } from '../extensions/priority.ts';
import { checkServiceTier } from '../extensions/service-tier.ts';
import { readSchedule } from '../extensions/schedule.ts';
import { getWebhookOptions } from '../extensions/webhooks/options.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

export interface SendResult {
  taskId: string;
  /** The turn that the message starts. */
  turn: number;
  /** The task, if this send created it. */
  created: A2aTask | undefined;
}

export interface SendParts {
  db: Db;
  accept: Accept;
  outbox: OutboxPublisher;
  /** Stores the agent definition if that has not happened yet; resolves to its hash. */
  storeDefinition: () => Promise<string>;
  /** Seconds from the start of a task to its deadline if the client sets none; undefined: no deadline. */
  taskSeconds: number | undefined;
  /** The service tiers that tasks may choose. */
  serviceTiers: readonly ServiceTier[];
  mediaTypes: MediaTypes;
  idempotencyWindowSeconds: number;
  wakeupGraceSeconds: number;
  pushConfigs: PushConfigs;
  quotas: OwnerQuotas;
  largeWork: LargeWork;
  messageLimits: MessageLimits;
  /** Largest message as JSON, in bytes. */
  maxMessageBytes: number;
}

/** @param shown whether the caller receives a Task in any case; if not, a direct answer may take its place */
export type Send = (
  request: SendMessageRequest,
  context: ServerCallContext,
  shown: boolean,
) => Promise<SendResult>;

/** A request whose message has been checked. */
interface CheckedSend {
  request: SendMessageRequest;
  context: ServerCallContext;
  /** The message as sent, and as stored. */
  wire: WireMessage;
  message: Message;
  partsJson: PartsJson;
  caller: Caller;
  requestHash: string;
  shown: boolean;
}

/**
 * The span and the duration of a send cover accepting the message, not the time that its sender then waits.
 */
export function createSend(parts: SendParts): Send {
  return (request, context, shown) => {
    const startedAt = performance.now();
    return inSpan(
      'SendMessage',
      { kind: SpanKind.SERVER, attributes: { 'rpc.system': 'a2a', 'rpc.method': 'SendMessage' } },
      async (span) => {
        const result = await send(parts, request, context, shown);
        span.setAttributes({ 'longhaul.task.id': result.taskId, 'longhaul.turn': result.turn });
        instruments.acceptDuration.record((performance.now() - startedAt) / 1000);
        return result;
      },
      toContext(traceparent.get(context)),
    );
  };
}

async function send(
  parts: SendParts,
  request: SendMessageRequest,
  context: ServerCallContext,
  shown: boolean,
): Promise<SendResult> {
  const caller = getCaller(context);
  // Checking, serialising, hashing and storing a large message occupy the event loop in turn.
  const isLarge = measure(request.message?.parts, minLargeBytes) >= minLargeBytes;
  const pause = () => parts.largeWork.start(caller.owner);
  if (isLarge) await pause();
  const wire = checkMessage(request, parts.messageLimits);
  checkMediaTypes(parts.mediaTypes, wire, request.configuration?.acceptedOutputModes ?? []);
  const message = messageFromWire(wire);
  if (isLarge) await pause();
  const partsJson = isLarge ? await writeLargeParts(message.parts, pause) : writeParts(message.parts);
  const checked: CheckedSend = {
    request,
    context,
    wire,
    message,
    partsJson,
    caller,
    requestHash: isLarge
      ? await hashLargeRequest(message, partsJson.json, request, pause)
      : hashRequest(message, partsJson.json, request),
    shown,
  };
  if (isLarge) await pause();
  if (wire.referenceTaskIds.length > 0) {
    const repeated = await findRepeat(parts, checked);
    if (repeated !== undefined) return repeated;
    const missing = await findMissing(parts.db, checked.caller, wire.referenceTaskIds);
    if (missing !== undefined) {
      throw new TaskNotFoundError(`task ${missing} in message.referenceTaskIds was not found`);
    }
  }
  try {
    if (wire.taskId !== '') return await continueTask(parts, checked, wire.taskId);
    return await startTask(parts, checked);
  } catch (error) {
    // A message that was accepted before the limit was reached is still answered with its task.
    const repeated = error instanceof QuotaExceededError ? await findRepeat(parts, checked) : undefined;
    if (repeated === undefined) throw error;
    return repeated;
  }
}

async function startTask(parts: SendParts, send: CheckedSend): Promise<SendResult> {
  const { wire } = send;
  const now = databaseNow();
  const taskId = uuidv7(now);
  const contextId = wire.contextId === '' ? uuidv7(now) : wire.contextId;
  const message: Message = { ...send.message, taskId, contextId };
  const { json: messageJson, bytes: messageBytes } = writeMessage(
    message,
    send.partsJson,
    parts.maxMessageBytes,
  );
  const statusAt = new Date(now).toISOString();
  const event = createStateEvent(taskId, contextId, 'TASK_STATE_SUBMITTED', statusAt);
  checkServiceTier(send.request.metadata, parts.serviceTiers);
  const webhook = send.request.configuration?.taskPushNotificationConfig;
  const { owner } = send.caller;
  if (webhook !== undefined) await parts.pushConfigs.verify(webhook.url, owner);
  const { requestedVersion: version } = send.context;
  const options = getWebhookOptions(send.context, send.request.metadata);
  const metadata = withoutSecret(send.request.metadata);
  const content = {
    message: messageJson,
    metadata: metadata === undefined ? null : JSON.stringify(metadata),
    acceptedOutputModes: serializeOutputModes(send.request),
    event: JSON.stringify(event),
  };
  const bytes = countTaskBytes({ ...content, messageBytes });
  const task: NewTask = {
    ...send.caller,
    ...content,
    bytes,
    taskId,
    contextId,
    opensContext: wire.contextId === '',
    agentHash: await parts.storeDefinition(),
    messageId: message.messageId,
    requestHash: send.requestHash,
    statusAt,
    shown: send.shown,
    priority: readPriority(send.request.metadata),
    ...readSchedule(send.request.metadata, now, parts.taskSeconds),
    traceparent: activeTraceparent(),
    webhook: webhook === undefined ? null : parts.pushConfigs.toRow(webhook, owner, taskId, version, options),
  };
  const webhookConfigs = webhook === undefined ? 0 : 1;
  const wanted = { turn: true, openTasks: 1, storedBytes: bytes, webhookConfigs };
  const wakeups = await parts.quotas.store(task.owner, wanted, {
    run: () => parts.accept(task),
    isStored: (accepted) => accepted !== undefined,
  });
  if (wakeups !== undefined) {
    passFaultPoint('message-stored');
    parts.outbox.publish(wakeups);
    const created: A2aTask = {
      id: taskId,
      contextId,
      status: { state: 'TASK_STATE_SUBMITTED', timestamp: statusAt },
      artifacts: [],
      // Most messages need no measuring: a character of JSON measures at most 12 bytes.
      history:
        12 * messageJson.length < maxTaskBytes ? [message] : takeNewest([message], maxTaskBytes).history,
      ...(metadata !== undefined && { metadata }),
    };
    return { taskId, turn: 1, created };
  }
  const repeated = await findRepeat(parts, send);
  // If the idempotency window of the first send has just ended, this send starts a new window.
  return repeated ?? startTask(parts, send);
}

async function continueTask(parts: SendParts, send: CheckedSend, taskId: string): Promise<SendResult> {
  const { wire } = send;
  const repeated = await findRepeat(parts, send);
  if (repeated !== undefined) return repeated;
  const found = isUuid(taskId)
    ? await readTaskSnapshot(parts.db, send.caller, taskId, { historyLength: 0, includeArtifacts: false })
    : undefined;
  if (found === undefined) throw new TaskNotFoundError(`task ${taskId} was not found`);
  const { contextId } = found.task;
  if (wire.contextId !== '' && wire.contextId !== contextId) {
    throw new RequestMalformedError(
      `message.contextId ${wire.contextId} is not the context of task ${taskId}: use ${contextId}, or omit it`,
    );
  }
  const message = writeMessage({ ...send.message, taskId, contextId }, send.partsJson, parts.maxMessageBytes);
  const followUp: FollowUp = {
    ...send.caller,
    taskId,
    messageId: wire.messageId,
    requestHash: send.requestHash,
    message: message.json,
    messageBytes: message.bytes,
    acceptedOutputModes: serializeOutputModes(send.request),
    shown: send.shown,
    traceparent: activeTraceparent(),
  };
  const wanted = { turn: true, storedBytes: countFollowUpBytes(followUp) };
  const result = await parts.quotas.store(send.caller.owner, wanted, {
    run: async () => {
      if (!isTerminal(found.task.status.state)) await createWebhookConfig(parts, send, taskId);
      const { idempotencyWindowSeconds, wakeupGraceSeconds } = parts;
      return acceptFollowUp(parts.db, { idempotencyWindowSeconds, wakeupGraceSeconds }, followUp);
    },
    isStored: ({ kind }) => kind === 'accepted',
  });
  switch (result.kind) {
    case 'accepted':
      passFaultPoint('message-stored');
      parts.outbox.publish(result.wakeups);
      return { taskId, turn: result.turn, created: undefined };
    case 'repeat':
      return (await findRepeat(parts, send)) ?? continueTask(parts, send, taskId);
    case 'terminal':
      throw new UnsupportedOperationError(
        `task ${taskId} has ended and accepts no more messages: send the message without taskId and with contextId ${contextId} to start a new task`,
      );
    default:
      return result satisfies never;
  }
}

/** Creates the webhook config that a further message to a task brings. */
async function createWebhookConfig(
  { pushConfigs }: SendParts,
  { request, context, caller }: CheckedSend,
  taskId: string,
): Promise<void> {
  const webhook = request.configuration?.taskPushNotificationConfig;
  if (webhook === undefined) return;
  const options = getWebhookOptions(context, request.metadata);
  await pushConfigs.create({ ...webhook, taskId }, caller, context.requestedVersion, options);
}

/** @throws {RequestMalformedError} if the messageId was used with other content */
async function findRepeat(
  parts: SendParts,
  { caller, requestHash, wire: { messageId } }: CheckedSend,
): Promise<SendResult | undefined> {
  if (parts.idempotencyWindowSeconds === 0) return undefined;
  const first = await findSend(parts.db, caller, messageId);
  if (first === undefined) return undefined;
  if (first.requestHash !== requestHash) {
    throw new RequestMalformedError(
      `messageId ${messageId} was already used for another message: use a new id for each message`,
    );
  }
  return { taskId: first.taskId, turn: first.turn, created: undefined };
}

function serializeOutputModes(request: SendMessageRequest): string | null {
  const modes = request.configuration?.acceptedOutputModes ?? [];
  return modes.length === 0 ? null : JSON.stringify(modes);
}
