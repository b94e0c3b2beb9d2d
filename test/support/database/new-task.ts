/** Builds the rows that the api and workers write about a task. A test sets only the fields that matter to it. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Db } from '#shared/db/client/pool.ts';
import { countTaskBytes } from '#shared/db/owners/bytes.ts';
import { createAccept, type NewTask, type WebhookRow } from '#shared/db/tasks/accept.ts';
import type { FollowUp } from '#shared/db/tasks/follow-up.ts';
import { createClaim, type Claimed } from '#shared/db/turns/claim.ts';
import type { TurnEnd } from '#shared/db/turns/write.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { Message } from '#shared/domain/message.ts';
import type { TaskState, TurnEndState } from '#shared/domain/task.ts';

export const caller = { tenant: '', owner: 'ada' };

/** A user's message, as JSON. */
export function newMessage(text = 'hello', messageId: string = randomUUID()): string {
  return JSON.stringify({ messageId, role: 'ROLE_USER', parts: [{ text }] });
}

/** The payload of an event about a state, as JSON. */
export function createStatePayload(
  { taskId, contextId }: Pick<NewTask, 'taskId' | 'contextId'>,
  state: TaskState,
  message?: Message,
): string {
  const status = { state, timestamp: new Date().toISOString(), message };
  return JSON.stringify({ statusUpdate: { taskId, contextId, status } });
}

/** A task as the API accepts it. */
export function newTask(more: Partial<NewTask> = {}): NewTask {
  const { taskId = uuidv7(), contextId = uuidv7(), messageId = randomUUID() } = more;
  const task = {
    ...caller,
    taskId,
    contextId,
    agentHash: 'h',
    messageId,
    requestHash: 'r',
    message: newMessage('hello', messageId),
    metadata: null,
    acceptedOutputModes: null,
    event: createStatePayload({ taskId, contextId }, 'TASK_STATE_SUBMITTED'),
    statusAt: new Date().toISOString(),
    shown: true,
    startAt: null,
    deadlineAt: null,
    priority: 0,
    traceparent: null,
    webhook: null,
    ...more,
  };
  return { bytes: countTaskBytes(task), ...task };
}

/** A webhook config without secrets. */
export function newWebhook(more: Partial<WebhookRow> = {}): WebhookRow {
  return {
    id: randomUUID(),
    url: 'http://localhost/',
    token: null,
    authScheme: null,
    authCredentials: null,
    events: 'state',
    protocolVersion: '1.0',
    signingSecret: null,
    ordered: true,
    ...more,
  };
}

/** A follow-up message to a task. */
export function newFollowUp(taskId: string, more: Partial<FollowUp> = {}): FollowUp {
  const messageId = randomUUID();
  return {
    ...caller,
    taskId,
    messageId,
    requestHash: 'r',
    message: newMessage('more', messageId),
    acceptedOutputModes: null,
    shown: true,
    traceparent: null,
    ...more,
  };
}

/** The end of a turn of a task. */
export function newTurnEnd(taskId: string, state: TurnEndState, more: Partial<TurnEnd> = {}): TurnEnd {
  return {
    kind: 'end',
    state,
    payload: createStatePayload({ taskId, contextId: 'c' }, state),
    payloadIfContinued: createStatePayload({ taskId, contextId: 'c' }, 'TASK_STATE_WORKING'),
    statusAt: new Date().toISOString(),
    message: null,
    direct: false,
    error: null,
    ...more,
  };
}

/** Accepts a task and claims its first turn. */
export async function createClaimedTask(db: Db, more: Partial<NewTask> = {}): Promise<Claimed> {
  const task = newTask(more);
  await createAccept(db, { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 })(task);
  return claimTask(db, task.taskId);
}

/** Claims the turn of a task that is free. */
export async function claimTask(db: Db, taskId: string): Promise<Claimed> {
  const claim = createClaim(db, { worker: 'w1', leaseSeconds: 30, wakeupGraceSeconds: 10, maxAttempts: 5 });
  const result = await claim(taskId);
  if (result.kind !== 'claimed') assert.fail(`the task was not claimed: ${result.kind}`);
  return result;
}
