/** After an outage of the database, expired leases are left to their holders for a moment. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { sql } from 'kysely';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { beat, removeHeartbeat } from '#shared/db/turns/heartbeats.ts';
import { extendLeases, type Lease } from '#shared/db/turns/leases.ts';
import { createClaimedTask, newTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { worker: 'other', leaseSeconds: 30, wakeupGraceSeconds: 10, maxAttempts: 5 };
const claimAfterOutage = (secondsAgo: number) => {
  const failedAt = performance.now() - 1000 * secondsAgo;
  return createClaim(db, { ...options, databaseFailedAt: () => failedAt });
};

async function createExpiredLease(): Promise<Lease> {
  const { lease } = await createClaimedTask(db);
  await sql`update gates set lease_until = now() - interval '1 second' where task_id = ${lease.taskId}`.execute(
    db,
  );
  return lease;
}

describe('a claim after an outage', () => {
  beforeEach(() => beat(db, 'w1'));

  test('leaves an expired lease to its holder, who extends it', async () => {
    const lease = await createExpiredLease();
    const claim = claimAfterOutage(1)(lease.taskId);
    await extendLeases(db, [lease], 30);
    assert.equal((await claim).kind, 'leased');
  });

  test('takes an expired lease over when its holder has not extended it', async () => {
    const { taskId } = await createExpiredLease();
    const startedAt = performance.now();
    assert.equal((await claimAfterOutage(2.6)(taskId)).kind, 'claimed');
    assert.ok(performance.now() - startedAt > 350);
  });

  test('takes an expired lease over at once when its holder is dead', async () => {
    const { taskId } = await createExpiredLease();
    await removeHeartbeat(db, 'w1');
    assert.equal((await claimAfterOutage(-3600)(taskId)).kind, 'claimed');
  });

  test('takes a task that has no lease', async () => {
    const task = newTask();
    await createAccept(db, { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 })(task);
    assert.equal((await claimAfterOutage(1)(task.taskId)).kind, 'claimed');
  });
});
