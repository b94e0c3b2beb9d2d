/** After an outage of the database, expired leases are left to their holders for a moment. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sql } from 'kysely';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { createClaimedTask, newTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { worker: 'other', leaseSeconds: 30, wakeupGraceSeconds: 10, maxAttempts: 5 };
const claimAfterOutage = (secondsAgo: number) =>
  createClaim(db, { ...options, databaseFailedAt: () => performance.now() - 1000 * secondsAgo });

async function createExpiredLease(): Promise<string> {
  const { taskId } = (await createClaimedTask(db)).lease;
  await sql`update gates set lease_until = now() - interval '1 second' where task_id = ${taskId}`.execute(db);
  return taskId;
}

describe('a claim after an outage', () => {
  test('leaves an expired lease to its holder', async () => {
    const taskId = await createExpiredLease();
    assert.equal((await claimAfterOutage(1)(taskId)).kind, 'leased');
    assert.equal((await claimAfterOutage(10)(taskId)).kind, 'claimed');
  });

  test('takes a task that has no lease', async () => {
    const task = newTask();
    await createAccept(db, { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 })(task);
    assert.equal((await claimAfterOutage(1)(task.taskId)).kind, 'claimed');
  });
});
