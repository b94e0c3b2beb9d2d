/** The gate on a real PostgreSQL: which writers succeed, in which order, and how late writers fail. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import type { Pool, PoolClient } from 'pg';
import type { Db } from '#shared/db/client/pool.ts';
import { readEvents } from '#shared/db/events/read.ts';
import { createAccept, type Accept } from '#shared/db/tasks/accept.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { readTaskSnapshot } from '#shared/db/tasks/read.ts';
import { createClaim, type Claim } from '#shared/db/turns/claim.ts';
import { extendLeases, findHeldLeases, type Lease } from '#shared/db/turns/leases.ts';
import { createTurnWriter, type NewStep, type TurnRelease, type WriteTurn } from '#shared/db/turns/write.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import type { TurnEndState } from '#shared/domain/task.ts';
import {
  caller,
  createClaimedTask,
  claimTask,
  newFollowUp,
  newTask,
  newTurnEnd,
} from '../../../support/database/new-task.ts';
import { skipIfEncrypted } from '../../../support/database/contents.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
const rounds = 30;

describe('gate', () => {
  let db: Db;
  let pool: Pool;
  let accept: Accept;
  let claim: Claim;
  let write: WriteTurn;
  before(async () => {
    ({ db, pool } = await connectToTestDatabase());
    accept = createAccept(db, options);
    claim = createClaim(db, { worker: 'w1', leaseSeconds: 30, wakeupGraceSeconds: 10, maxAttempts: 5 });
    write = createTurnWriter(db, options);
  });

  const end = (lease: Lease, state: TurnEndState) =>
    write({ lease, finish: newTurnEnd(lease.taskId, state) });
  const release = (lease: Lease, more: Partial<TurnRelease> = {}) =>
    write({
      lease,
      finish: { kind: 'release', delaySeconds: 0, countAttempt: true, error: null, ...more },
    });
  const followUp = (taskId: string) => acceptFollowUp(db, options, newFollowUp(taskId));
  const cancel = (taskId: string) => cancelTask(db, options, taskId);

  async function readState(taskId: string): Promise<string | undefined> {
    return (await readTaskSnapshot(db, caller, taskId))?.task.status.state;
  }

  async function expireLease(taskId: string): Promise<void> {
    await pool.query(`update gates set lease_until = now() - interval '1 second' where task_id = $1`, [
      taskId,
    ]);
  }

  /** Updates the gate in a transaction that stays open. The next claim then counts as the first attempt. */
  async function lockGate(taskId: string): Promise<PoolClient> {
    const client = await pool.connect();
    await client.query('begin');
    await client.query('update gates set attempts = 0 where task_id = $1', [taskId]);
    return client;
  }

  async function assertNoGaps(taskId: string): Promise<void> {
    const seqs = (await readEvents(db, taskId, 0, 1000)).map((event) => event.seq);
    assert.deepEqual(
      seqs,
      seqs.map((_, index) => index + 1),
    );
  }

  test('accepts small messages while large ones wait', async () => {
    const large = Array.from({ length: 3 }, () =>
      newTask({ message: JSON.stringify({ text: 'x'.repeat(600_000) }) }),
    );
    const blocker = await pool.connect();
    try {
      await blocker.query('begin');
      for (const { tenant, owner, messageId } of large) {
        await blocker.query(
          `insert into sends (tenant, owner, message_id, request_hash, task_id, turn, expires_at)
           values ($1, $2, $3, '', $4, 1, now())`,
          [tenant, owner, messageId, randomUUID()],
        );
      }
      const accepting = large.map((task) => accept(task));
      assert.ok((await accept(newTask())) !== undefined);
      await blocker.query('rollback');
      assert.ok((await Promise.all(accepting)).every((wakeups) => wakeups !== undefined));
    } finally {
      blocker.release();
    }
  });

  test('lets one of many claims win and reports the task as leased to the others', async () => {
    const task = newTask();
    await accept(task);
    const claims = Array.from({ length: 20 }, (_, index) =>
      createClaim(db, { worker: `w${index}`, leaseSeconds: 30, wakeupGraceSeconds: 10, maxAttempts: 5 })(
        task.taskId,
      ),
    );
    const kinds = (await Promise.all(claims)).map((result) => result.kind);
    assert.equal(kinds.filter((kind) => kind === 'claimed').length, 1);
    assert.equal(kinds.filter((kind) => kind === 'leased').length, 19);
    await assertNoGaps(task.taskId);
  });

  test('claims the rest of a set while a gate is locked, and then reads what was written', async () => {
    const { taskId } = (await createClaimedTask(db)).lease;
    await expireLease(taskId);
    const other = newTask();
    await accept(other);
    const writer = await lockGate(taskId);
    await writer.query(
      `insert into steps (task_id, turn, name, occurrence, position, output, fence, finished_at)
       values ($1, 1, 'late', 0, 0, '1', 1, now())`,
      [taskId],
    );
    const claiming = claim(taskId);
    assert.equal((await claim(other.taskId)).kind, 'claimed');
    await writer.query('commit');
    writer.release();
    const result = await claiming;
    assert.ok(result.kind === 'claimed');
    assert.deepEqual(
      result.content?.steps.map((step) => step.name),
      ['late'],
    );
  });

  test('writes the rest of a set while a gate is locked', async () => {
    const [first, second] = [await createClaimedTask(db), await createClaimedTask(db)];
    const locker = await lockGate(first.lease.taskId);
    const ending = end(first.lease, 'TASK_STATE_COMPLETED');
    await end(second.lease, 'TASK_STATE_COMPLETED');
    assert.equal(await readState(first.lease.taskId), 'TASK_STATE_WORKING');
    await locker.query('rollback');
    locker.release();
    await ending;
    assert.equal(await readState(first.lease.taskId), 'TASK_STATE_COMPLETED');
  });

  test('extends the lease on a locked gate', async () => {
    const { lease } = await createClaimedTask(db);
    await expireLease(lease.taskId);
    const locker = await lockGate(lease.taskId);
    assert.deepEqual((await extendLeases(db, [lease], 30)).extended, new Set([lease.taskId]));
    await locker.query('rollback');
    locker.release();
    assert.equal((await claim(lease.taskId)).kind, 'leased');
  });

  test('refuses every write of a worker whose expired lease was taken over', async () => {
    const { lease } = await createClaimedTask(db);
    await expireLease(lease.taskId);
    await claimTask(db, lease.taskId);
    const event = { kind: 'progress' as const, payload: '{}' };
    await assert.rejects(write({ lease, events: [event] }), LeaseLostError);
    await assert.rejects(end(lease, 'TASK_STATE_COMPLETED'), LeaseLostError);
    assert.deepEqual(await extendLeases(db, [lease], 30), { held: new Set(), extended: new Set() });
    assert.deepEqual(await findHeldLeases(db, [lease]), new Set());
    assert.equal(await readState(lease.taskId), 'TASK_STATE_WORKING');
  });

  for (const state of ['TASK_STATE_COMPLETED', 'TASK_STATE_FAILED', 'TASK_STATE_REJECTED'] as const) {
    test(`accepts no write, claim, message or cancel after ${state}`, async () => {
      const { lease } = await createClaimedTask(db);
      await end(lease, state);
      await assert.rejects(end(lease, 'TASK_STATE_FAILED'), LeaseLostError);
      assert.equal((await claim(lease.taskId)).kind, 'idle');
      assert.equal((await followUp(lease.taskId)).kind, 'terminal');
      assert.equal(await cancel(lease.taskId), undefined);
      assert.equal(await readState(lease.taskId), state);
      await assertNoGaps(lease.taskId);
    });
  }

  test('runs a message that arrives before the end as the next turn, else refuses it', async () => {
    for (let round = 0; round < rounds; round++) {
      const { lease } = await createClaimedTask(db);
      const [, sent] = await Promise.all([end(lease, 'TASK_STATE_COMPLETED'), followUp(lease.taskId)]);
      const state = await readState(lease.taskId);
      if (sent.kind === 'accepted') {
        assert.equal(sent.turn, 2);
        assert.equal(state, 'TASK_STATE_WORKING');
        assert.equal((await claimTask(db, lease.taskId)).lease.turn, 2);
      } else {
        assert.equal(sent.kind, 'terminal');
        assert.equal(state, 'TASK_STATE_COMPLETED');
      }
      await assertNoGaps(lease.taskId);
    }
  });

  test('loses no message that races a turn asking for input', async () => {
    for (let round = 0; round < rounds; round++) {
      const { lease } = await createClaimedTask(db);
      const [, sent] = await Promise.all([end(lease, 'TASK_STATE_INPUT_REQUIRED'), followUp(lease.taskId)]);
      assert.equal(sent.kind, 'accepted');
      assert.equal(await readState(lease.taskId), 'TASK_STATE_WORKING');
      assert.equal((await claimTask(db, lease.taskId)).lease.turn, 2);
      await assertNoGaps(lease.taskId);
    }
  });

  for (const state of ['TASK_STATE_FAILED', 'TASK_STATE_REJECTED'] as const) {
    test(`runs no waiting message after ${state}`, async () => {
      const { lease } = await createClaimedTask(db);
      assert.equal((await followUp(lease.taskId)).kind, 'accepted');
      await end(lease, state);
      assert.equal(await readState(lease.taskId), state);
      assert.equal((await claim(lease.taskId)).kind, 'idle');
    });
  }

  test('runs no waiting message after a cancel and keeps it in the history', async () => {
    const { lease } = await createClaimedTask(db);
    assert.equal((await followUp(lease.taskId)).kind, 'accepted');
    assert.ok(await cancel(lease.taskId));
    assert.equal((await claim(lease.taskId)).kind, 'idle');
    assert.equal((await readTaskSnapshot(db, caller, lease.taskId))?.task.history.length, 2);
  });

  test('lets either the cancel or the end win when they race', async () => {
    for (let round = 0; round < rounds; round++) {
      const { lease } = await createClaimedTask(db);
      const [ended, canceled] = await Promise.all([
        end(lease, 'TASK_STATE_COMPLETED').then(
          () => true,
          () => false,
        ),
        cancel(lease.taskId),
      ]);
      assert.equal(ended, canceled === undefined);
      assert.equal(await readState(lease.taskId), ended ? 'TASK_STATE_COMPLETED' : 'TASK_STATE_CANCELED');
      await assertNoGaps(lease.taskId);
    }
  });

  test('does not count the attempt of a released turn', async () => {
    const { lease } = await createClaimedTask(db);
    await release(lease, { countAttempt: false });
    assert.equal((await claimTask(db, lease.taskId)).attempts, 1);
  });

  test('counts the attempt of a failed turn', async () => {
    const { lease } = await createClaimedTask(db);
    await release(lease, { error: 'x' });
    assert.equal((await claimTask(db, lease.taskId)).attempts, 2);
  });

  test('counts attempts since the last recorded step', async () => {
    const first = await createClaimedTask(db);
    const { taskId } = first.lease;
    await release(first.lease, { error: 'x' });
    const { lease } = await claimTask(db, taskId);
    const step: NewStep = { name: 's', occurrence: 0, position: 0, inputHash: null, output: '1' };
    await write({ lease, steps: [step] });
    await release(lease, { error: 'x' });
    assert.equal((await claimTask(db, taskId)).attempts, 2);
  });

  test('counts failures of partners since the last recorded step', async () => {
    const first = await createClaimedTask(db);
    const { taskId } = first.lease;
    const failed = { countAttempt: false, partnerFailed: true, error: 'away' };
    await release(first.lease, failed);
    const { lease, failures, failingSince } = await claimTask(db, taskId);
    assert.equal(failures, 1);
    await write({ lease, steps: [{ name: 's', occurrence: 0, position: 0, inputHash: null, output: '1' }] });
    await release(lease, failed);
    const last = await claimTask(db, taskId);
    assert.equal(last.failures, 1);
    assert.ok(last.failingSince! > failingSince!);
  });

  test('lets a delayed turn be claimed only when it is due', async () => {
    const { lease } = await createClaimedTask(db);
    await release(lease, { delaySeconds: 60 });
    assert.equal((await claim(lease.taskId)).kind, 'idle');
    await pool.query(`update gates set run_at = now() where task_id = $1`, [lease.taskId]);
    assert.equal((await claim(lease.taskId)).kind, 'claimed');
  });

  test('fails only the row of a set that the database rejects', { skip: skipIfEncrypted }, async () => {
    const turns = await Promise.all(Array.from({ length: 10 }, () => createClaimedTask(db)));
    const writes = turns.map(({ lease }, index) =>
      write({ lease, events: [{ kind: 'progress', payload: index === 3 ? 'not json' : '{}' }] }),
    );
    const results = await Promise.allSettled(writes);
    assert.deepEqual(
      results.map((result) => result.status),
      turns.map((_, index) => (index === 3 ? 'rejected' : 'fulfilled')),
    );
  });

  test('hides a task from other owners and tenants', async () => {
    const { lease } = await createClaimedTask(db);
    assert.equal(await readTaskSnapshot(db, { tenant: '', owner: 'eve' }, lease.taskId), undefined);
    assert.equal(await readTaskSnapshot(db, { tenant: 't', owner: 'ada' }, lease.taskId), undefined);
  });
});
