/** Makes the task that a checked message starts. */
import type { SendMessageRequest } from '@a2a-js/sdk';
import { countTaskBytes } from '#shared/db/owners/bytes.ts';
import type { NewTask } from '#shared/db/tasks/accept.ts';
import { takeNewest } from '#shared/db/tasks/content.ts';
import type { A2aTask } from '#shared/db/tasks/read.ts';
import { createStateEvent } from '#shared/domain/events.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { Message } from '#shared/domain/message.ts';
import { maxTaskBytes } from '#shared/domain/sizes.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { activeTraceparent } from '#shared/runtime/spans.ts';
import { withoutSecret } from '#shared/webhooks/options.ts';
import { readPriority } from '../../extensions/priority.ts';
import { readSchedule } from '../../extensions/schedule.ts';
import { getWebhookOptions } from '../../extensions/webhooks/options.ts';
import { writeMessage } from './message-json.ts';
import type { PushConfigs } from '../push-configs.ts';
import type { CheckedSend } from './check.ts';

export interface PrepareParts {
  pushConfigs: PushConfigs;
  /** Seconds from the start of a task to its deadline if the client sets none; undefined: no deadline. */
  taskSeconds: number | undefined;
  /** Largest message as JSON, in bytes. */
  maxMessageBytes: number;
}

/** A task that is ready to be stored, and how it is answered. */
export interface PreparedTask {
  task: NewTask;
  created: A2aTask;
}

/**
 * Apart from the asynchronous function that stores the task, because such a function keeps all its variables in memory
 * while it waits.
 */
export function prepareTask(parts: PrepareParts, send: CheckedSend, agentHash: string): PreparedTask {
  const { wire, request, context } = send;
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
  const webhook = request.configuration?.taskPushNotificationConfig;
  const { tenant, owner } = send.caller;
  const options = getWebhookOptions(context, request.metadata);
  const metadata = withoutSecret(request.metadata);
  const { startAt, deadlineAt } = readSchedule(request.metadata, now, parts.taskSeconds);
  const task: NewTask = {
    tenant,
    owner,
    message: messageJson,
    metadata: metadata === undefined ? null : JSON.stringify(metadata),
    acceptedOutputModes: serializeOutputModes(request),
    event: JSON.stringify(createStateEvent(taskId, contextId, 'TASK_STATE_SUBMITTED', statusAt)),
    bytes: 0,
    taskId,
    contextId,
    opensContext: wire.contextId === '',
    agentHash,
    messageId: message.messageId,
    requestHash: send.requestHash,
    statusAt,
    shown: send.shown,
    priority: readPriority(request.metadata),
    startAt,
    deadlineAt,
    traceparent: activeTraceparent(),
    webhook:
      webhook === undefined
        ? null
        : parts.pushConfigs.toRow(webhook, owner, taskId, context.requestedVersion, options),
  };
  task.bytes = countTaskBytes(task, messageBytes);
  const created: A2aTask = {
    id: taskId,
    contextId,
    status: { state: 'TASK_STATE_SUBMITTED', timestamp: statusAt },
    artifacts: [],
    // Most messages need no measuring: a character of JSON measures at most 12 bytes.
    history: 12 * messageBytes < maxTaskBytes ? [message] : takeNewest([message], maxTaskBytes).history,
    ...(metadata !== undefined && { metadata }),
  };
  return { task, created };
}

export function serializeOutputModes(request: SendMessageRequest): string | null {
  const modes = request.configuration?.acceptedOutputModes ?? [];
  return modes.length === 0 ? null : JSON.stringify(modes);
}
