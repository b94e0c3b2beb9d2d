/** The task that a schedule starts at a due time. */
import { createStateEvent } from '../../domain/events.ts';
import { uuidv7 } from '../../domain/ids.ts';
import { databaseNow } from '../../runtime/clock.ts';
import type { Db } from '../client/pool.ts';
import { countTaskBytes } from '../owners/bytes.ts';
import type { NewTask, WebhookRow } from '../tasks/accept.ts';
import type { Transaction } from 'kysely';
import type { Database } from '../schema/schema.ts';
import type { Schedule } from './rows.ts';

/** The agent that tasks start with. */
export interface CurrentAgent {
  hash: string;
  /** Seconds from the start of a task to its deadline; undefined: no deadline. */
  taskSeconds: number | undefined;
}

/** Returns a webhook for a task, with its secrets encrypted for the task instead of the key of the schedule. */
export type CopyWebhook = (key: string, taskId: string, webhook: WebhookRow) => WebhookRow;

/** Reads the agent of the api process that started last; undefined if there has been none. */
export async function readCurrentAgent(db: Db | Transaction<Database>): Promise<CurrentAgent | undefined> {
  const row = await db
    .selectFrom('agents')
    .select(['hash', 'definition'])
    .orderBy('used_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { limits } = row.definition;
  const taskSeconds =
    typeof limits === 'object' && limits !== null && !Array.isArray(limits)
      ? limits['taskSeconds']
      : undefined;
  return { hash: row.hash, taskSeconds: typeof taskSeconds === 'number' ? taskSeconds : undefined };
}

/** @param dueAt identifies the task among those of the schedule: its message id is made of both */
export function createScheduledTask(
  schedule: Schedule,
  dueAt: Date,
  agent: CurrentAgent,
  copyWebhook: CopyWebhook,
): NewTask {
  const { key, tenant, owner, template, webhook } = schedule;
  const now = databaseNow();
  const taskId = uuidv7(now);
  const { contextId = uuidv7(now), ...message } = template.message;
  const messageId = `${key}:${dueAt.toISOString()}`;
  const statusAt = new Date(now).toISOString();
  const content = {
    message: JSON.stringify({ messageId, ...message, taskId, contextId }),
    metadata: template.metadata === null ? null : JSON.stringify(template.metadata),
    acceptedOutputModes:
      template.acceptedOutputModes === null ? null : JSON.stringify(template.acceptedOutputModes),
    event: JSON.stringify(createStateEvent(taskId, contextId, 'TASK_STATE_SUBMITTED', statusAt)),
  };
  return {
    taskId,
    tenant,
    owner,
    contextId,
    opensContext: template.message.contextId === undefined,
    ...content,
    bytes: countTaskBytes(content),
    agentHash: agent.hash,
    messageId,
    requestHash: key,
    statusAt,
    shown: true,
    startAt: null,
    deadlineAt:
      agent.taskSeconds === undefined ? null : new Date(now + agent.taskSeconds * 1000).toISOString(),
    priority: template.priority,
    traceparent: null,
    webhook: webhook === null ? null : copyWebhook(key, taskId, webhook),
  };
}
