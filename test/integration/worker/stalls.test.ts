/** Workers that are paused for longer than their leases, and come back: their attempts do not count. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sql } from 'kysely';
import { createClaim, type Claimed } from '#shared/db/turns/claim.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createLeaseHeartbeat } from '#services/worker/turn/lease-heartbeat.ts';
import { createClaimedTask } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { waitFor } from '../../support/wait-for.ts';

const { db } = await connectToTestDatabase();
const log = createLogger('test', 'silent');
const maxAttempts = 5;

/** Lets a lease run out as if its worker were paused, and another worker take the task over. */
async function takeOver(taskId: string, worker: string): Promise<Claimed> {
  await sql`update gates set lease_until = now() - interval '1 second' where task_id = ${taskId}`.execute(db);
  await sql`update extended_leases set lease_until = now() - interval '1 second' where task_id = ${taskId}`.execute(
    db,
  );
  const options = { worker, leaseSeconds: 30, wakeupGraceSeconds: 10, maxAttempts };
  const claimed = await createClaim(db, options)(taskId);
  assert.ok(claimed.kind === 'claimed');
  return claimed;
}

async function readAttempts(taskId: string): Promise<number> {
  const gate = db.selectFrom('gates').select('attempts').where('task_id', '=', taskId);
  return (await gate.executeTakeFirstOrThrow()).attempts;
}

async function readOutcomes(taskId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('turn_attempts')
    .select('outcome')
    .where('task_id', '=', taskId)
    .orderBy('fence')
    .execute();
  return rows.map(({ outcome }) => outcome);
}

describe('a worker that is paused for longer than its lease', () => {
  test('costs no attempt when it comes back, however often', async (t) => {
    const { lease } = await createClaimedTask(db);
    const { taskId } = lease;
    let current = lease;
    const heartbeat = createLeaseHeartbeat({ db, leaseSeconds: 0.06, log });
    t.after(() => heartbeat.close());
    for (let stall = 1; stall <= 6; stall += 1) {
      const claimed = await takeOver(taskId, `w${stall}`);
      assert.ok(claimed.attempts <= 2, `${claimed.attempts} attempts`);
      const held = heartbeat.hold(current, performance.now());
      await waitFor('the attempt to be forgiven', async () => (await readAttempts(taskId)) === 1);
      assert.ok(held.lost());
      current = claimed.lease;
    }
    assert.deepEqual(await readOutcomes(taskId), Array<string>(6).fill('stalled'));
  });

  test('costs an attempt if it has died', async () => {
    const { lease } = await createClaimedTask(db);
    await takeOver(lease.taskId, 'other');
    assert.equal(await readAttempts(lease.taskId), 2);
    assert.deepEqual(await readOutcomes(lease.taskId), ['crashed']);
  });
});
