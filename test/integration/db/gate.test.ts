/** The gate on a real PostgreSQL: who may write, in which order, and what a late writer is told (invariants 1 to 6). */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { openDatabase } from '#shared/db/client/pool.ts';
import { readEvents } from '#shared/db/events/read.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { extendLeases, findHeldLeases } from '#shared/db/turns/leases.ts';
import { readTaskSnapshot } from '#shared/db/tasks/read.ts';
import { createTurnWriter, type TurnEnd } from '#shared/db/turns/write.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import type { TurnEndState } from '#shared/domain/task.ts';
import { caller, claimedTask, newTask } from '../../support/database/new-task.ts';
import { testDatabase } from '../../support/database/postgres.ts';

const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };

test('the gate', async (t) => {
  const database = await testDatabase();
  const { db, pool } = openDatabase({
    url: database.url,
    poolSize: 8,
    applicationName: 'test',
    onError: () => undefined,
  });
  t.after(async () => {
    await pool.end();
    await database.close();
  });
  const accept = createAccept(db, options);
  const claim = createClaim(db, { worker: 'w1', leaseSeconds: 30, wakeupGraceSeconds: 10 });
  const write = createTurnWriter(db, options);

  const claimed = () => claimedTask(db);

  function end(state: TurnEndState): TurnEnd {
    return {
      kind: 'end',
      state,
      payload: JSON.stringify({ statusUpdate: { status: { state } } }),
      payloadIfContinued: '{"statusUpdate":{"status":{"state":"TASK_STATE_WORKING"}}}',
      statusAt: new Date().toISOString(),
      message: null,
      direct: false,
      error: null,
    };
  }

  function followUp(taskId: string, more: object = {}) {
    return acceptFollowUp(db, options, {
      ...caller,
      taskId,
      messageId: randomUUID(),
      requestHash: 'r',
      message: JSON.stringify({ messageId: randomUUID(), role: 'ROLE_USER', parts: [] }),
      acceptedOutputModes: null,
      workingEvent: '{"statusUpdate":{"status":{"state":"TASK_STATE_WORKING"}}}',
      statusAt: new Date().toISOString(),
      shown: true,
      traceparent: null,
      ...more,
    });
  }

  const cancel = (taskId: string) =>
    cancelTask(db, options, {
      taskId,
      event: '{"statusUpdate":{"status":{"state":"TASK_STATE_CANCELED"}}}',
      statusAt: new Date().toISOString(),
    });

  async function stateOf(taskId: string): Promise<string | undefined> {
    return (await readTaskSnapshot(db, caller, taskId))?.task.status.state;
  }

  async function expire(taskId: string): Promise<void> {
    await pool.query(`update gates set lease_until = now() - interval '1 second' where task_id = $1`, [
      taskId,
    ]);
  }

  /** Resolves when a statement waits for a lock. */
  async function untilOneWaits(): Promise<void> {
    for (;;) {
      const { rowCount } = await pool.query(
        `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
      );
      if (rowCount !== 0) return;
    }
  }

  async function assertGapless(taskId: string): Promise<void> {
    const seqs = (await readEvents(db, taskId, 0, 1000)).map((event) => event.seq);
    assert.deepEqual(
      seqs,
      seqs.map((_, index) => index + 1),
    );
  }

  await t.test('a hundred simultaneous sends of one message make one task', async () => {
    const messageId = randomUUID();
    // Of several processes: each has a batcher of its own.
    const doors = Array.from({ length: 5 }, () => createAccept(db, options));
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) => doors[index % 5]!(newTask({ messageId }))),
    );
    assert.equal(answers.filter((wakeups) => wakeups !== undefined).length, 1);
  });

  await t.test('an expired send is replaced, by one of many', async () => {
    const messageId = randomUUID();
    await accept(newTask({ messageId }));
    await pool.query(`update sends set expires_at = now() - interval '1 second' where message_id = $1`, [
      messageId,
    ]);
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => createAccept(db, options)(newTask({ messageId }))),
    );
    assert.equal(answers.filter((wakeups) => wakeups !== undefined).length, 1);
  });

  await t.test('of many claims one wins; the others find the task leased', async () => {
    const task = newTask();
    await accept(task);
    const claims = Array.from({ length: 20 }, (_, index) =>
      createClaim(db, { worker: `w${index}`, leaseSeconds: 30, wakeupGraceSeconds: 10 })(task.taskId),
    );
    const kinds = (await Promise.all(claims)).map((result) => result.kind);
    assert.equal(kinds.filter((kind) => kind === 'claimed').length, 1);
    assert.equal(kinds.filter((kind) => kind === 'leased').length, 19);
    await assertGapless(task.taskId);
  });

  await t.test('a claim that waited for a write begins with what was written', async () => {
    const { taskId } = (await claimed()).lease;
    await expire(taskId);
    const writer = await pool.connect();
    await writer.query('begin');
    await writer.query(`update gates set attempts = 0 where task_id = $1`, [taskId]);
    await writer.query(
      `insert into steps (task_id, turn, name, occurrence, position, output, fence, finished_at)
       values ($1, 1, 'late', 0, 0, '1', 1, now())`,
      [taskId],
    );
    const claiming = claim(taskId);
    await untilOneWaits();
    await writer.query('commit');
    writer.release();
    const result = await claiming;
    assert.ok(result.kind === 'claimed');
    assert.deepEqual(
      result.stored.steps?.map((step) => step.name),
      ['late'],
    );
  });

  await t.test('a zombie whose lease ran out and was taken writes nothing', async () => {
    const first = await claimed();
    await expire(first.lease.taskId);
    const second = await claim(first.lease.taskId);
    assert.equal(second.kind, 'claimed');
    const event = { kind: 'progress' as const, payload: '{}' };
    await assert.rejects(write({ lease: first.lease, events: [event] }), LeaseLostError);
    await assert.rejects(write({ lease: first.lease, finish: end('TASK_STATE_COMPLETED') }), LeaseLostError);
    assert.deepEqual(await extendLeases(db, [first.lease], 30), new Set());
    assert.deepEqual(await findHeldLeases(db, [first.lease]), new Set());
    assert.equal(await stateOf(first.lease.taskId), 'TASK_STATE_WORKING');
  });

  await t.test('terminal is final: no write, claim, message or cancel changes it', async () => {
    for (const state of ['TASK_STATE_COMPLETED', 'TASK_STATE_FAILED', 'TASK_STATE_REJECTED'] as const) {
      const { lease } = await claimed();
      await write({ lease, finish: end(state) });
      await assert.rejects(write({ lease, finish: end('TASK_STATE_FAILED') }), LeaseLostError);
      assert.equal((await claim(lease.taskId)).kind, 'idle');
      assert.equal((await followUp(lease.taskId)).kind, 'terminal');
      assert.equal(await cancel(lease.taskId), undefined);
      assert.equal(await stateOf(lease.taskId), state);
      await assertGapless(lease.taskId);
    }
  });

  await t.test('a message before the end of the turn is the next turn; after it, is refused', async () => {
    for (let round = 0; round < 30; round++) {
      const { lease } = await claimed();
      const [, sent] = await Promise.all([
        write({ lease, finish: end('TASK_STATE_COMPLETED') }),
        followUp(lease.taskId),
      ]);
      const state = await stateOf(lease.taskId);
      if (sent.kind === 'accepted') {
        assert.equal(sent.turn, 2);
        assert.equal(state, 'TASK_STATE_WORKING');
        const next = await claim(lease.taskId);
        assert.equal(next.kind === 'claimed' && next.lease.turn, 2);
      } else {
        assert.equal(sent.kind, 'terminal');
        assert.equal(state, 'TASK_STATE_COMPLETED');
      }
      await assertGapless(lease.taskId);
    }
  });

  await t.test('a message meets a turn that asks: never lost, in either order', async () => {
    for (let round = 0; round < 30; round++) {
      const { lease } = await claimed();
      const [, sent] = await Promise.all([
        write({ lease, finish: end('TASK_STATE_INPUT_REQUIRED') }),
        followUp(lease.taskId),
      ]);
      assert.equal(sent.kind, 'accepted');
      assert.equal(await stateOf(lease.taskId), 'TASK_STATE_WORKING');
      const next = await claim(lease.taskId);
      assert.equal(next.kind === 'claimed' && next.lease.turn, 2);
      await assertGapless(lease.taskId);
    }
  });

  await t.test('failed, canceled and rejected close the queue', async () => {
    for (const state of ['TASK_STATE_FAILED', 'TASK_STATE_REJECTED'] as const) {
      const { lease } = await claimed();
      assert.equal((await followUp(lease.taskId)).kind, 'accepted');
      await write({ lease, finish: end(state) });
      assert.equal(await stateOf(lease.taskId), state);
      assert.equal((await claim(lease.taskId)).kind, 'idle');
    }
    const { lease } = await claimed();
    assert.equal((await followUp(lease.taskId)).kind, 'accepted');
    assert.ok(await cancel(lease.taskId));
    assert.equal((await claim(lease.taskId)).kind, 'idle');
    assert.equal((await readTaskSnapshot(db, caller, lease.taskId))?.task.history.length, 2);
  });

  await t.test('a cancel and an end race: one of them is the end, and the other is told', async () => {
    for (let round = 0; round < 30; round++) {
      const { lease } = await claimed();
      const [ended, canceled] = await Promise.all([
        write({ lease, finish: end('TASK_STATE_COMPLETED') }).then(
          () => true,
          () => false,
        ),
        cancel(lease.taskId),
      ]);
      assert.equal(ended, canceled === undefined);
      assert.equal(await stateOf(lease.taskId), ended ? 'TASK_STATE_COMPLETED' : 'TASK_STATE_CANCELED');
      await assertGapless(lease.taskId);
    }
  });

  await t.test('a turn given back is free at once, and counts only where it failed', async () => {
    const { lease } = await claimed();
    await write({ lease, finish: { kind: 'release', delaySeconds: 0, countAttempt: false, error: null } });
    const second = await claim(lease.taskId);
    assert.equal(second.kind === 'claimed' && second.attempts, 1);
    if (second.kind !== 'claimed') return;
    await write({
      lease: second.lease,
      finish: { kind: 'release', delaySeconds: 0, countAttempt: true, error: 'x' },
    });
    const third = await claim(lease.taskId);
    assert.equal(third.kind === 'claimed' && third.attempts, 2);
    if (third.kind !== 'claimed') return;
    const step = { name: 's', occurrence: 0, position: 0, inputHash: null, output: '1' };
    await write({ lease: third.lease, steps: [step] });
    await write({
      lease: third.lease,
      finish: { kind: 'release', delaySeconds: 60, countAttempt: true, error: 'x' },
    });
    assert.equal((await claim(lease.taskId)).kind, 'idle', 'not before its time');
    await pool.query(`update gates set run_at = now() where task_id = $1`, [lease.taskId]);
    const fourth = await claim(lease.taskId);
    assert.equal(fourth.kind === 'claimed' && fourth.attempts, 2, 'a recorded step starts the count again');
  });

  await t.test('one row that the database refuses fails alone', async () => {
    const turns = await Promise.all(Array.from({ length: 10 }, claimed));
    const writes = turns.map(({ lease }, index) =>
      write({ lease, events: [{ kind: 'progress', payload: index === 3 ? 'not json' : '{}' }] }),
    );
    const results = await Promise.allSettled(writes);
    assert.deepEqual(
      results.map((result) => result.status),
      turns.map((_, index) => (index === 3 ? 'rejected' : 'fulfilled')),
    );
  });

  await t.test('another owner and another tenant find nothing', async () => {
    const { lease } = await claimed();
    assert.equal(await readTaskSnapshot(db, { tenant: '', owner: 'eve' }, lease.taskId), undefined);
    assert.equal(await readTaskSnapshot(db, { tenant: 't', owner: 'ada' }, lease.taskId), undefined);
  });
});
