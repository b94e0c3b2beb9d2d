/** The timeline of a task: each attempt is recorded once, however it ends. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { expireTasks } from '#shared/db/tasks/expire.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { deleteTasksOfOwner } from '#shared/db/tasks/retention.ts';
import { readTimeline } from '#shared/db/tasks/timeline.ts';
import { createTurnWriter, type TurnEnd, type TurnRelease } from '#shared/db/turns/write.ts';
import type { Timeline } from '#shared/domain/views.ts';
import {
  caller,
  claimTask,
  createClaimedTask,
  createStatePayload,
  newFollowUp,
  newTask,
  newTurnEnd,
  newWebhook,
} from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { wakeupGraceSeconds: 10 };
const write = createTurnWriter(db, options);

async function read(taskId: string): Promise<Timeline> {
  const timeline = await readTimeline(db, caller, taskId);
  assert.ok(timeline !== undefined);
  return timeline;
}

const release = (more: Partial<TurnRelease>): TurnRelease => ({
  kind: 'release',
  delaySeconds: 0,
  countAttempt: false,
  error: null,
  ...more,
});

async function letLeaseExpire(taskId: string): Promise<void> {
  for (const table of ['gates', 'extended_leases'] as const) {
    await db
      .updateTable(table)
      .set({ lease_until: new Date(Date.now() - 1_000) })
      .where('task_id', '=', taskId)
      .execute();
  }
}

describe('the timeline of a task', () => {
  test('shows every attempt with its outcome, and the one that runs', async () => {
    const { lease } = await createClaimedTask(db);
    const { taskId } = lease;
    const finishes: [TurnRelease | TurnEnd, string][] = [
      [release({}), 'stopped'],
      [release({ countAttempt: true, error: 'x'.repeat(2_000) }), 'failed'],
      [release({ partnerFailed: true, error: 'away' }), 'partner_failed'],
      [release({ signals: 0 }), 'waiting'],
      [release({ error: 'no capacity' }), 'parked'],
      [release({ untried: true }), 'postponed'],
    ];
    let held = lease;
    for (const [finish] of finishes) {
      await write({ lease: held, finish });
      held = (await claimTask(db, taskId)).lease;
    }
    await letLeaseExpire(taskId);
    await claimTask(db, taskId);

    const { turns, cut } = await read(taskId);
    assert.deepEqual(cut, []);
    const [turn] = turns;
    const { attempts } = turn!;
    assert.equal(turn!.endedAt, undefined);
    assert.deepEqual(
      attempts.map(({ worker, outcome }) => [worker, outcome]),
      [...finishes.map(([, outcome]) => outcome), 'crashed', undefined].map((outcome) => ['w1', outcome]),
    );
    assert.ok(attempts.every(({ fence }, index) => fence > (attempts[index - 1]?.fence ?? 0)));
    assert.equal(attempts[1]!.error?.length, 1_000);
    assert.ok(attempts.every(({ startedAt, endedAt }) => startedAt.endsWith('Z') && endedAt !== ''));
    assert.equal(attempts.at(-1)!.endedAt, undefined);
  });

  test('shows steps with their times, usage and waits', async () => {
    const { lease } = await createClaimedTask(db);
    const tokens = { prompt: 10, cached: 0, tool: 0, thoughts: 1, output: 2 };
    const usage = { model: 'm', tokens, cost: 0.5 };
    const step = { occurrence: 0, inputHash: null, output: null };
    const sleep = { wait: { kind: 'sleep' as const }, dueInSeconds: 60, token: null };
    await write({
      lease,
      steps: [
        { ...step, name: 'model', position: 0, output: '{"secret":1}', seconds: 2, usage },
        { ...step, name: 'tool', position: 1 },
        { ...step, name: 'nap', position: 2, wait: sleep },
        { ...step, name: 'blink', position: 3, wait: { ...sleep, dueInSeconds: 0 } },
      ],
    });
    const timeline = await read(lease.taskId);
    assert.ok(!JSON.stringify(timeline).includes('secret'), 'outputs are not included');
    const [model, tool, nap, blink] = timeline.turns[0]!.steps;
    assert.equal(Date.parse(model!.endedAt!) - Date.parse(model!.startedAt), 2_000);
    assert.deepEqual(model!.usage, usage);
    assert.deepEqual([tool!.name, tool!.endedAt, tool!.wait], ['tool', undefined, undefined]);
    assert.deepEqual([nap!.endedAt, nap!.wait?.kind], [undefined, 'sleep']);
    assert.equal(blink!.endedAt, blink!.wait?.dueAt);
  });

  test('shows turns, events and deliveries', async () => {
    const claimed = await createClaimedTask(db, { webhook: newWebhook({ id: 'hook' }) });
    const { taskId } = claimed.lease;
    const parts = [{ text: '\0 "state":"TASK_STATE_FAILED"' }];
    const message = { messageId: 'm', role: 'ROLE_AGENT' as const, parts };
    const payload = createStatePayload({ taskId, contextId: 'c' }, 'TASK_STATE_INPUT_REQUIRED', message);
    await write({
      lease: claimed.lease,
      finish: newTurnEnd(taskId, 'TASK_STATE_INPUT_REQUIRED', { payload }),
    });
    await acceptFollowUp(db, { ...options, idempotencyWindowSeconds: 60 }, newFollowUp(taskId));
    const { turns, events, deliveries } = await read(taskId);
    assert.deepEqual(
      turns.map(({ turn, endedAt, attempts }) => [turn, endedAt !== undefined, attempts.length]),
      [
        [1, true, 1],
        [2, false, 0],
      ],
    );
    assert.deepEqual(
      events.map(({ event, state }) => [event, state?.replace('TASK_STATE_', '')]),
      ['SUBMITTED', 'WORKING', 'INPUT_REQUIRED', 'WORKING'].map((state, index) => [index + 1, state]),
    );
    assert.deepEqual(
      deliveries.map(({ webhook, event, state }) => [webhook, event, state]),
      [1, 2, 3, 4].map((event) => ['hook', event, 'pending']),
    );
  });

  for (const state of ['TASK_STATE_COMPLETED', 'TASK_STATE_FAILED'] as const) {
    test(`shows the attempt that ended its task as ${state}`, async () => {
      const { lease } = await createClaimedTask(db);
      const { taskId } = lease;
      await write({ lease, finish: newTurnEnd(taskId, state) });
      const [turn] = (await read(taskId)).turns;
      const [attempt, ...others] = turn!.attempts;
      assert.deepEqual(others, []);
      assert.deepEqual([attempt!.fence, attempt!.worker, attempt!.outcome], [1, 'w1', 'finished']);
      assert.ok(attempt!.endedAt !== undefined && attempt!.endedAt === turn!.endedAt);
      // The gate of a completed task keeps its attempt, which saves a row for each task.
      const rows = await db.selectFrom('turn_attempts').selectAll().where('task_id', '=', taskId).execute();
      assert.equal(rows.length, state === 'TASK_STATE_COMPLETED' ? 0 : 1);
    });
  }

  for (const [outcome, end] of [
    ['canceled', (taskId: string) => cancelTask(db, options, taskId)],
    ['expired', () => expireTasks(db, { ...options, limit: 10, interruptedExpirySeconds: 60 })],
  ] as const) {
    test(`shows the attempt that ran when its task was ${outcome}`, async () => {
      const { lease } = await createClaimedTask(db);
      if (outcome === 'expired') {
        await db
          .updateTable('gates')
          .set({ deadline_at: new Date(Date.now() - 1_000) })
          .where('task_id', '=', lease.taskId)
          .execute();
      }
      await end(lease.taskId);
      const [turn] = (await read(lease.taskId)).turns;
      const [attempt, ...others] = turn!.attempts;
      assert.deepEqual(others, []);
      assert.deepEqual([attempt!.fence, attempt!.outcome], [1, outcome]);
      assert.equal(attempt!.endedAt, turn!.endedAt);
    });
  }

  test('is missing for other callers, and removed with the task', async () => {
    const owner = { tenant: 'red', owner: 'eve' };
    const { lease } = await createClaimedTask(db, owner);
    await write({ lease, finish: newTurnEnd(lease.taskId, 'TASK_STATE_COMPLETED') });
    for (const other of [caller, { ...owner, tenant: '' }, { ...owner, owner: 'bob' }]) {
      assert.equal(await readTimeline(db, other, lease.taskId), undefined);
    }
    assert.ok(await readTimeline(db, owner, lease.taskId));
    await deleteTasksOfOwner(db, owner, 10);
    const left = await db
      .selectFrom('turn_attempts')
      .selectAll()
      .where('task_id', '=', lease.taskId)
      .execute();
    assert.deepEqual(left, []);
  });

  test('has the newest entries of long lists', async () => {
    const task = newTask();
    await createAccept(db, { ...options, idempotencyWindowSeconds: 60 })(task);
    const { lease } = await claimTask(db, task.taskId);
    const steps = Array.from({ length: 1_001 }, (_, position) => ({
      name: 's',
      occurrence: position,
      position,
      inputHash: null,
      output: '1',
    }));
    await write({ lease, steps });
    const { turns, cut } = await read(task.taskId);
    assert.deepEqual(cut, ['steps']);
    assert.deepEqual([turns[0]!.steps.length, turns[0]!.steps[0]!.occurrence], [1_000, 1]);
  });
});
