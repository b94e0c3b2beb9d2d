/**
 * Accepts messages for SendMessage and SendStreamingMessage (A2A sections 3.1.1 and 3.1.2). The caller of
 * `Send` then returns at once, waits, or streams.
 *
 * A message is accepted once its transaction is committed (invariant 1). No later failure can lose it. A
 * repeated message returns the task of the first, before the state of that task is checked.
 */
import type { SendMessageRequest } from '@a2a-js/sdk';
import { RequestMalformedError, TaskNotFoundError, UnsupportedOperationError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { countFollowUpBytes } from '#shared/db/owners/bytes.ts';
import type { Accept } from '#shared/db/tasks/accept.ts';
import { forOwner } from '#shared/db/client/owner-connections.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { acceptFollowUp, type FollowUp } from '#shared/db/tasks/follow-up.ts';
import { findMissing, findSend, readTaskSnapshot, type A2aTask } from '#shared/db/tasks/read.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { ServiceTier } from '#shared/domain/service-tier.ts';
import { isTerminal } from '#shared/domain/task.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { activeTraceparent, inSpan, SpanKind, toContext } from '#shared/runtime/spans.ts';
import { traceparent } from './call-state.ts';
import type { OwnerQuotas } from '../limits/owner-quotas.ts';
import { QuotaExceededError } from '../limits/quota-error.ts';
import { checkServiceTier } from '../extensions/service-tier.ts';
import { getWebhookOptions } from '../extensions/webhooks/options.ts';
import { checkLargeSend, checkSend, isLargeSend, type CheckedSend, type CheckParts } from './send/check.ts';
import { writeMessage } from './send/message-json.ts';
import { prepareTask, serializeOutputModes, type PrepareParts } from './send/prepare.ts';

export interface SendResult {
  taskId: string;
  /** The turn that the message starts. */
  turn: number;
  /** The task, if this send created it. */
  created: A2aTask | undefined;
}

export interface SendParts extends CheckParts, PrepareParts {
  db: Db;
  accept: Accept;
  outbox: OutboxPublisher;
  /** Stores the agent definition if that has not happened yet; resolves to its hash. */
  storeDefinition: () => Promise<string>;
  /** The service tiers that tasks may choose. */
  serviceTiers: readonly ServiceTier[];
  idempotencyWindowSeconds: number;
  wakeupGraceSeconds: number;
  quotas: OwnerQuotas;
}

/** @param shown whether the caller receives a Task in any case; if not, a direct answer may take its place */
export type Send = (
  request: SendMessageRequest,
  context: ServerCallContext,
  shown: boolean,
) => Promise<SendResult>;

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
  const checked = isLargeSend(request)
    ? await checkLargeSend(parts, request, context, shown)
    : checkSend(parts, request, context, shown);
  const { referenceTaskIds, taskId } = checked.wire;
  if (referenceTaskIds.length > 0) {
    const repeated = await findRepeat(parts, checked);
    if (repeated !== undefined) return repeated;
    const missing = await findMissing(
      forOwner(parts.db, checked.caller.owner),
      checked.caller,
      referenceTaskIds,
    );
    if (missing !== undefined) {
      throw new TaskNotFoundError(`task ${missing} in message.referenceTaskIds was not found`);
    }
  }
  try {
    return taskId === '' ? await startTask(parts, checked) : await continueTask(parts, checked, taskId);
  } catch (error) {
    // A message that was accepted before the limit was reached is still answered with its task.
    const repeated = error instanceof QuotaExceededError ? await findRepeat(parts, checked) : undefined;
    if (repeated === undefined) throw error;
    return repeated;
  }
}

async function startTask(parts: SendParts, send: CheckedSend): Promise<SendResult> {
  checkServiceTier(send.request.metadata, parts.serviceTiers);
  const webhook = send.request.configuration?.taskPushNotificationConfig;
  if (webhook !== undefined) await parts.pushConfigs.verify(webhook.url, send.caller.owner);
  const { task, created } = prepareTask(parts, send, await parts.storeDefinition());
  const webhookConfigs = webhook === undefined ? 0 : 1;
  const wanted = { turn: true, openTasks: 1, storedBytes: task.bytes, webhookConfigs };
  const wakeups = await parts.quotas.store(task.owner, wanted, {
    run: () => parts.accept(task),
    isStored: (accepted) => accepted !== undefined,
  });
  if (wakeups !== undefined) {
    passFaultPoint('message-stored');
    parts.outbox.publish(wakeups);
    return { taskId: task.taskId, turn: 1, created };
  }
  const repeated = await findRepeat(parts, send);
  // If the idempotency window of the first send has just ended, this send starts a new window.
  return repeated ?? startTask(parts, send);
}

async function continueTask(parts: SendParts, send: CheckedSend, taskId: string): Promise<SendResult> {
  const { wire } = send;
  const db = forOwner(parts.db, send.caller.owner);
  const repeated = await findRepeat(parts, send);
  if (repeated !== undefined) return repeated;
  const found = isUuid(taskId)
    ? await readTaskSnapshot(db, send.caller, taskId, { historyLength: 0, includeArtifacts: false })
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
      return acceptFollowUp(db, { idempotencyWindowSeconds, wakeupGraceSeconds }, followUp);
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
  const first = await findSend(forOwner(parts.db, caller.owner), caller, messageId);
  if (first === undefined) return undefined;
  if (first.requestHash !== requestHash) {
    throw new RequestMalformedError(
      `messageId ${messageId} was already used for another message: use a new id for each message`,
    );
  }
  return { taskId: first.taskId, turn: first.turn, created: undefined };
}
