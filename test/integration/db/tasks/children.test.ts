/** Children are started once, their ends reach the parent once, and they end with their parent. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sql } from 'kysely';
import { cancelOrphans } from '#shared/db/children/cancel.ts';
import { awaitChildren, readChildren, readChildUsage } from '#shared/db/children/join.ts';
import { signalLateParents } from '#shared/db/children/signal.ts';
import { readDepth, spawnChildren } from '#shared/db/children/spawn.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { expireTasks } from '#shared/db/tasks/expire.ts';
import { readTaskSnapshot } from '#shared/db/tasks/read.ts';
import { deleteEndedTasks } from '#shared/db/tasks/retention.ts';
import { readTimeline } from '#shared/db/tasks/timeline.ts';
import type { Claimed } from '#shared/db/turns/claim.ts';
import { createTurnWriter, type TurnEnd } from '#shared/db/turns/write.ts';
import { childrenExtension } from '#shared/domain/children.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { createReconciler } from '#shared/outbox/reconciler.ts';
import { createLogger } from '#shared/runtime/log.ts';
import {
  caller,
  claimTask,
  createClaimedTask,
  newTask,
  newTurnEnd,
} from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { wakeupGraceSeconds: 10 };
const write = createTurnWriter(db, options);
const release = { kind: 'release', delaySeconds: 60, countAttempt: false, signals: 0, error: null } as const;

function newSpawn({ lease }: Claimed, count: number, depth = 1, name = 'spawn') {
  const tasks = Array.from({ length: count }, () => newTask());
  const group = uuidv7();
  const step = { name, occurrence: 0, position: 0, output: JSON.stringify({ group }) };
  return { lease, group, depth, tasks, step };
}

async function spawn(parent: Claimed, count: number, depth = 1) {
  const spawned = newSpawn(parent, count, depth);
  const wakeups = await spawnChildren(db, options, spawned);
  assert.equal(wakeups.length, count);
  return { group: spawned.group, taskIds: spawned.tasks.map(({ taskId }) => taskId) };
}

async function end(taskId: string, more: Partial<TurnEnd> = {}) {
  const { lease, task } = await claimTask(db, taskId);
  assert.ok(task.isChild);
  return write({ lease, hasFamily: true, finish: newTurnEnd(taskId, 'TASK_STATE_COMPLETED', more) });
}

async function readStates(taskIds: readonly string[]): Promise<Record<string, number>> {
  const { rows } = await sql<{ state: string }>`
    select state from tasks where id = any(${taskIds}::uuid[])`.execute(db);
  const counts: Record<string, number> = {};
  for (const { state } of rows) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

const turnsOf = (wakeups: readonly { kind: string; taskId: string }[]) =>
  wakeups.filter(({ kind }) => kind === 'turn').map(({ taskId }) => taskId);

describe('spawning', () => {
  test('stores each child once, even if it is repeated', async () => {
    const parent = await createClaimedTask(db, { priority: 3, deadlineAt: '2100-01-01T00:00:00Z' });
    const spawned = newSpawn(parent, 3);
    const [first, second] = await Promise.all([
      spawnChildren(db, options, spawned),
      spawnChildren(db, options, spawned).catch((error: { code?: string }) => error.code),
    ]);
    assert.deepEqual([first.length, await spawnChildren(db, options, spawned)], [3, []]);
    assert.ok(second === '23505' || (Array.isArray(second) && second.length === 0));
    const { rows } = await sql`
      select g.priority, g.deadline_at::text, t.owner, t.tenant from tasks t join gates g on g.task_id = t.id
      where t.child_group = ${spawned.group}`.execute(db);
    assert.deepEqual(
      rows,
      spawned.tasks.map(() => ({ priority: 3, deadline_at: '2100-01-01 00:00:00+00', ...caller })),
    );
    const snapshot = await readTaskSnapshot(db, caller, parent.lease.taskId);
    assert.deepEqual(snapshot?.task.metadata?.[childrenExtension], {
      children: 3,
      referenceTaskIds: spawned.tasks.map(({ taskId }) => taskId),
    });
  });

  test('stores nothing without the lease', async () => {
    const parent = await createClaimedTask(db);
    await cancelTask(db, options, parent.lease.taskId);
    const spawned = newSpawn(parent, 2);
    await assert.rejects(spawnChildren(db, options, spawned), LeaseLostError);
    assert.deepEqual(await readStates(spawned.tasks.map(({ taskId }) => taskId)), {});
  });

  test('counts generations, and accepts an empty list', async () => {
    const parent = await createClaimedTask(db);
    const { taskIds } = await spawn(parent, 1);
    const child = await claimTask(db, taskIds[0]!);
    const grandchildren = await spawn(child, 1, 2);
    const depths = [parent.lease.taskId, taskIds[0]!, grandchildren.taskIds[0]!].map((id) =>
      readDepth(db, id),
    );
    assert.deepEqual(await Promise.all(depths), [0, 1, 2]);
    const none = newSpawn(parent, 0, 1, 'none');
    assert.deepEqual(await spawnChildren(db, options, none), []);
    assert.deepEqual(await awaitChildren(db, parent.lease, none.group, 0), { ended: 0, isOver: true });
  });
});

describe('waiting for children', () => {
  test('wakes the parent when the last one that is needed has ended, however it ends', async () => {
    const parent = await createClaimedTask(db);
    const { group, taskIds } = await spawn(parent, 4);
    const [completed, canceled, expired, open] = taskIds as [string, string, string, string];
    assert.deepEqual(await awaitChildren(db, parent.lease, group, 3), { ended: 0, isOver: false });
    const wait = { wait: { kind: 'children', group, needed: 3 } as const, dueInSeconds: 60, token: null };
    const step = { name: 'join', occurrence: 0, position: 1, inputHash: null, output: null, wait };
    await write({ lease: parent.lease, steps: [step], finish: release });
    assert.deepEqual(turnsOf((await end(completed)).wakeups), []);
    assert.deepEqual(turnsOf((await cancelTask(db, options, canceled))!), []);
    await sql`update gates set deadline_at = now() - interval '1 s' where task_id = ${expired}`.execute(db);
    const { wakeups } = await expireTasks(db, { ...options, limit: 500, interruptedExpirySeconds: 1e6 });
    assert.deepEqual(turnsOf(wakeups), [parent.lease.taskId]);
    const timeline = await readTimeline(db, caller, parent.lease.taskId);
    const { dueAt: _dueAt, ...shown } = timeline!.turns[0]!.steps[1]!.wait!;
    assert.deepEqual(shown, { kind: 'children', ended: 3, needed: 3, size: 4 });
    const again = await claimTask(db, parent.lease.taskId);
    assert.deepEqual(await awaitChildren(db, again.lease, group, 3), { ended: 3, isOver: true });
    assert.deepEqual(turnsOf((await end(open)).wakeups), [], 'nothing waits any more');
  });

  test('lets a parent that runs continue when it is put back', async () => {
    const parent = await createClaimedTask(db);
    const { group, taskIds } = await spawn(parent, 1);
    await awaitChildren(db, parent.lease, group, 1);
    assert.deepEqual(turnsOf((await end(taskIds[0]!)).wakeups), []);
    const { wakeups } = await write({ lease: parent.lease, finish: release });
    assert.deepEqual(turnsOf(wakeups), [parent.lease.taskId]);
  });

  test('misses no child that ends while the wait is written', async () => {
    const race = async (): Promise<boolean> => {
      const parent = await createClaimedTask(db);
      const { group, taskIds } = await spawn(parent, 2);
      const [found] = await Promise.all([
        awaitChildren(db, parent.lease, group, 2),
        ...taskIds.map((taskId) => end(taskId)),
      ]);
      const { wakeups } = await write({ lease: parent.lease, finish: release });
      assert.equal(turnsOf(wakeups).length, found!.isOver ? 0 : 1);
      return found!.isOver;
    };
    await Promise.all(Array.from({ length: 30 }, race));
  });

  test('keeps the smallest number of several waits, and knows only own groups', async () => {
    const parent = await createClaimedTask(db);
    const { group, taskIds } = await spawn(parent, 3);
    await awaitChildren(db, parent.lease, group, 1);
    await awaitChildren(db, parent.lease, group, 3);
    await write({ lease: parent.lease, finish: release });
    assert.equal(turnsOf((await end(taskIds[0]!)).wakeups).length, 1);
    const other = await createClaimedTask(db);
    assert.equal(await awaitChildren(db, other.lease, group, 1), undefined);
  });

  test('is caught up by the reconciler if the parent was not woken', async () => {
    const parent = await createClaimedTask(db);
    const { group } = await spawn(parent, 1);
    await awaitChildren(db, parent.lease, group, 1);
    await write({ lease: parent.lease, finish: release });
    await sql`update child_groups set signal_at = now() - interval '3 s' where id = ${group}`.execute(db);
    const late = () => signalLateParents(db, { limit: 10, graceSeconds: 10 });
    assert.deepEqual(turnsOf((await late()).wakeups), [parent.lease.taskId]);
    assert.equal((await late()).examined, 0);
  });

  test('reads the usage of children that run, without those that are counted', async () => {
    const parent = await createClaimedTask(db);
    const { group, taskIds } = await spawn(parent, 3);
    await sql`update tasks set usage = '{"cost":2}' where child_group = ${group}`.execute(db);
    assert.deepEqual(await readChildUsage(db, group, [taskIds[0]!]), [{ cost: 2 }, { cost: 2 }]);
  });

  test('returns the results that fit, the smallest first', async () => {
    const parent = await createClaimedTask(db);
    const { group, taskIds } = await spawn(parent, 3);
    const say = (text: string) => JSON.stringify({ messageId: 'm', role: 'ROLE_AGENT', parts: [{ text }] });
    await end(taskIds[0]!, { message: say('x'.repeat(5000)) });
    await end(taskIds[1]!, { message: say('small') });
    const children = await readChildren(db, group, taskIds, 1000);
    assert.deepEqual(
      children.map(({ state, message, complete }) => [state, message?.parts, complete]),
      [
        ['TASK_STATE_COMPLETED', undefined, false],
        ['TASK_STATE_COMPLETED', [{ text: 'small' }], true],
        ['TASK_STATE_SUBMITTED', undefined, true],
      ],
    );
  });
});

describe('the end of a parent', () => {
  const cancel = (limit: number) => cancelOrphans(db, { ...options, limit });

  test('cancels its open children and theirs, in steps', async () => {
    const parent = await createClaimedTask(db);
    const { taskIds } = await spawn(parent, 5);
    const child = await claimTask(db, taskIds[0]!);
    const grandchildren = await spawn(child, 2, 2);
    await end(taskIds[1]!);
    await write({
      lease: parent.lease,
      hasFamily: true,
      finish: newTurnEnd(parent.lease.taskId, 'TASK_STATE_COMPLETED'),
    });
    for (let pass = 0; pass < 2; pass++) await cancel(2);
    assert.deepEqual(await readStates([...taskIds, ...grandchildren.taskIds]), {
      TASK_STATE_COMPLETED: 1,
      TASK_STATE_CANCELED: 6,
    });
    assert.equal((await cancel(2)).examined, 0);
    await assert.rejects(write({ lease: child.lease, finish: release }), LeaseLostError);
    const { rows } = await sql`select from ended_parents`.execute(db);
    assert.equal(rows.length, 0);
  });

  test('reaches its children in the pass of the reconciler that expires it', async () => {
    const parent = await createClaimedTask(db);
    const { taskIds } = await spawn(parent, 2);
    await sql`update gates set deadline_at = now() - interval '1 s' where task_id = ${parent.lease.taskId}`.execute(
      db,
    );
    const outbox = {
      publish: () => undefined,
      publishAll: async () => undefined,
      idle: async () => undefined,
    };
    const config = { ...options, reconcileMs: 2_000, interruptedExpirySeconds: 1e6, retentionSeconds: 0 };
    await createReconciler({ db, outbox, config, log: createLogger('test', 'silent') })();
    assert.deepEqual(await readStates(taskIds), { TASK_STATE_CANCELED: 2 });
  });

  test('reaches its children however it ends, and while they end', async () => {
    const ends = [
      async ({ lease }: Claimed) => cancelTask(db, options, lease.taskId),
      async ({ lease }: Claimed) =>
        write({ lease, hasFamily: true, finish: newTurnEnd(lease.taskId, 'TASK_STATE_FAILED') }),
      async ({ lease }: Claimed) => {
        await sql`update gates set deadline_at = now() - interval '1 s' where task_id = ${lease.taskId}`.execute(
          db,
        );
        await expireTasks(db, { ...options, limit: 500, interruptedExpirySeconds: 1e6 });
      },
    ];
    const all = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const parent = await createClaimedTask(db);
        const { taskIds, group } = await spawn(parent, 4);
        await awaitChildren(db, parent.lease, group, 2);
        const child = await claimTask(db, taskIds[0]!);
        await Promise.all([
          ends[index % 3]!(parent),
          write({
            lease: child.lease,
            hasFamily: true,
            finish: newTurnEnd(child.lease.taskId, 'TASK_STATE_COMPLETED'),
          }).catch((error: unknown) => assert.ok(error instanceof LeaseLostError)),
          cancelTask(db, options, taskIds[1]!),
          cancel(100),
        ]);
        return taskIds;
      }),
    );
    await cancel(100);
    const states = await readStates(all.flat());
    assert.equal((states['TASK_STATE_COMPLETED'] ?? 0) + states['TASK_STATE_CANCELED']!, 48);
  });

  test('lets retention remove its children', async () => {
    const parent = await createClaimedTask(db);
    const { taskIds } = await spawn(parent, 1);
    await end(taskIds[0]!);
    await sql`update gates set settled_at = now() - interval '2 days' where task_id = ${taskIds[0]!}`.execute(
      db,
    );
    const remove = () => deleteEndedTasks(db, { limit: 100, retentionSeconds: 86_400 });
    assert.equal(await remove(), 0, 'the parent may still read their results');
    await cancelTask(db, options, parent.lease.taskId);
    assert.equal(await remove(), 1);
  });
});
