/** Tasks as the front door makes them and a worker claims them, straight on the database. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createAccept, type NewTask } from '#shared/db/tasks/accept.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { createClaim, type Claimed } from '#shared/db/turns/claim.ts';
import { uuidv7 } from '#shared/domain/ids.ts';

export const caller = { tenant: '', owner: 'ada' };

export function newTask(more: Partial<NewTask> = {}): NewTask {
  const taskId = uuidv7();
  const messageId = randomUUID();
  return {
    ...caller,
    taskId,
    contextId: 'c',
    agentHash: 'h',
    messageId,
    requestHash: 'r',
    message: JSON.stringify({ messageId, role: 'ROLE_USER', parts: [{ text: 'hello' }] }),
    metadata: null,
    acceptedOutputModes: null,
    event: '{"statusUpdate":{"status":{"state":"TASK_STATE_SUBMITTED"}}}',
    statusAt: new Date().toISOString(),
    shown: true,
    startAt: null,
    deadlineAt: null,
    traceparent: null,
    webhook: null,
    ...more,
  };
}

export async function claimedTask(db: Db, more: Partial<NewTask> = {}): Promise<Claimed> {
  const task = newTask(more);
  await createAccept(db, { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 })(task);
  const result = await createClaim(db, { worker: 'w1', leaseSeconds: 30, wakeupGraceSeconds: 10 })(
    task.taskId,
  );
  if (result.kind !== 'claimed') assert.fail(`the task was not claimed: ${result.kind}`);
  return result;
}
