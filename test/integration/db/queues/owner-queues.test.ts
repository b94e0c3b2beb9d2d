/** The queues of owners: which turns they contain, and in which order and number workers take them. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { sql } from 'kysely';
import { readBacklog } from '#shared/db/outbox/backlog.ts';
import { wakeStalledTurns } from '#shared/db/outbox/reconcile.ts';
import { dequeueTurns, type Dequeued } from '#shared/db/queue/dequeue.ts';
import { createEnqueue, readQueueOwners } from '#shared/db/queue/enqueue.ts';
import { wakeQueuedTurns, wakeStalledQueues } from '#shared/db/queue/wake.ts';
import { createAccept, type NewTask } from '#shared/db/tasks/accept.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { expireTasks } from '#shared/db/tasks/expire.ts';
import { deleteTasksOfOwner } from '#shared/db/tasks/retention.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { claimTask, newTask, newTurnEnd } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 };
const accept = createAccept(db, options);
const enqueue = createEnqueue(db, options);
const write = createTurnWriter(db, options);

/** Accepts tasks of a new owner and queues their turns. */
async function queueTasks(...tasks: Partial<NewTask>[]): Promise<{ owner: string; taskIds: string[] }> {
  const owner = randomUUID();
  const taskIds = [];
  for (const more of tasks) {
    const task = newTask({ owner, ...more });
    await accept(task);
    taskIds.push(task.taskId);
  }
  await Promise.all(taskIds.map(enqueue));
  return { owner, taskIds };
}

const dequeue = (owner: string, count = 10, limit = 0): Promise<Dequeued> =>
  dequeueTurns(db, { owner, count, limit, wakeupGraceSeconds: 10 });

async function dequeueIds(owner: string, count = 10, limit = 0): Promise<string[]> {
  return (await dequeue(owner, count, limit)).turns.map(({ taskId }) => taskId);
}

async function countQueued(owner: string): Promise<number> {
  const queued = await db.selectFrom('queued_turns').select('task_id').where('owner', '=', owner).execute();
  return queued.length;
}

async function readWakeupIn(taskId: string): Promise<number> {
  const { seconds } = await db
    .selectFrom('gates')
    .select(sql<number>`extract(epoch from wakeup_at - now())::float8`.as('seconds'))
    .where('task_id', '=', taskId)
    .executeTakeFirstOrThrow();
  return seconds;
}

const setLease = (taskId: string, seconds: number) =>
  sql`update gates set lease_until = now() + ${seconds} * interval '1 second' where task_id = ${taskId}`.execute(
    db,
  );

const passGrace = (owner: string) =>
  sql`update turn_queues set wake_at = now() - interval '1 year' where owner = ${owner}`.execute(db);

describe('a queue', () => {
  test('returns the highest priority first, and then the oldest task', async () => {
    const priorities = [0, -10, 10, 0].map((priority) => ({ priority }));
    const { owner, taskIds } = await queueTasks(...priorities);
    assert.deepEqual(await dequeue(owner, 1).then(({ mayHaveMore }) => mayHaveMore), true);
    const rest = await dequeue(owner);
    assert.deepEqual(
      rest.turns.map(({ taskId }) => taskId),
      [taskIds[0], taskIds[3], taskIds[1]],
    );
    assert.equal(rest.mayHaveMore, false);
    assert.deepEqual(await dequeueIds(owner), []);
  });

  test('contains a turn once and returns it once', async () => {
    const { owner, taskIds } = await queueTasks({}, {});
    await Promise.all(taskIds.map(enqueue));
    assert.equal(await countQueued(owner), 2);
    const taken = await Promise.all([1, 2, 3, 4].map(() => dequeueIds(owner, 1)));
    assert.deepEqual(new Set(taken.flat()), new Set(taskIds));
    assert.ok(taken.flat().length === 2);
  });

  test('takes no turn that cannot be claimed', async () => {
    const { owner, taskIds } = await queueTasks();
    const running = newTask({ owner });
    const later = newTask({ owner, startAt: new Date(Date.now() + 3_600_000).toISOString() });
    const canceled = newTask({ owner });
    for (const task of [running, later, canceled]) await accept(task);
    await claimTask(db, running.taskId);
    await cancelTask(db, options, canceled.taskId);
    for (const taskId of [running.taskId, later.taskId, canceled.taskId, randomUUID()]) await enqueue(taskId);
    assert.equal(await countQueued(owner), 0);
    assert.deepEqual(taskIds, []);
  });

  test('drops turns that were canceled, expired or claimed meanwhile', async () => {
    const { owner, taskIds } = await queueTasks({}, {}, {}, {});
    const [canceled = '', expired = '', claimed = '', waiting] = taskIds;
    await cancelTask(db, options, canceled);
    await sql`update gates set deadline_at = now() - interval '1 year' where task_id = ${expired}`.execute(
      db,
    );
    await expireTasks(db, { limit: 1, wakeupGraceSeconds: 10, interruptedExpirySeconds: 3600 });
    await claimTask(db, claimed);
    assert.deepEqual(await dequeueIds(owner), [waiting]);
    assert.equal(await countQueued(owner), 0);
    assert.ok((await readWakeupIn(claimed)) < 11, 'the reconciler finds the turn if its worker dies');
  });

  test('loses the turns of removed tasks', async () => {
    const { owner } = await queueTasks({}, {});
    await dequeue(owner, 1, 5);
    assert.equal(await deleteTasksOfOwner(db, { tenant: '', owner }, 10), 2);
    assert.equal(await countQueued(owner), 0);
    const admitted = db.selectFrom('admitted_turns').select('task_id').where('owner', '=', owner);
    assert.deepEqual(await admitted.execute(), []);
  });

  test('drops a turn whose task no longer exists', async () => {
    const { owner, taskIds } = await queueTasks({}, {});
    await sql`delete from gates where task_id = ${taskIds[0]}`.execute(db);
    assert.deepEqual(await dequeueIds(owner), [taskIds[1]]);
    assert.equal(await countQueued(owner), 0);
  });
});

describe('the reconciler', () => {
  test('leaves queued turns alone, and finds a turn that was taken by a dead worker', async () => {
    const { owner, taskIds } = await queueTasks({});
    const [taskId = ''] = taskIds;
    assert.ok((await readWakeupIn(taskId)) > 3_000);
    await dequeue(owner);
    assert.ok((await readWakeupIn(taskId)) < 11);
    await sql`update gates set wakeup_at = now() - interval '1 year' where task_id = ${taskId}`.execute(db);
    const { wakeups } = await wakeStalledTurns(db, { limit: 1, graceSeconds: 10 });
    assert.deepEqual(
      wakeups.map((wakeup) => wakeup.kind === 'turn' && [wakeup.taskId, wakeup.owner]),
      [[taskId, owner]],
    );
  });

  test('wakes the first turn of a queue once per grace and leaves it in its place', async () => {
    const { owner, taskIds } = await queueTasks({}, { priority: 1 }, { priority: 2 });
    await cancelTask(db, options, taskIds[2] ?? '');
    const reconcile = () => wakeStalledQueues(db, { limit: 1, graceSeconds: 10 });
    await passGrace(owner);
    const woken = await Promise.all([reconcile(), reconcile()]);
    const ids = woken.flatMap(({ wakeups }) => wakeups).map(({ taskId }) => taskId);
    assert.deepEqual(
      ids.filter((id) => taskIds.includes(id)),
      [taskIds[1]],
    );
    assert.deepEqual(await dequeueIds(owner), [taskIds[1], taskIds[0]]);
  });

  test('removes an empty queue', async () => {
    const { owner } = await queueTasks({});
    await dequeue(owner);
    await passGrace(owner);
    assert.deepEqual(await wakeStalledQueues(db, { limit: 1, graceSeconds: 10 }), {
      wakeups: [],
      examined: 1,
    });
    assert.ok(!(await readQueueOwners(db, 10_000)).includes(owner));
  });

  test('keeps a queue into which a turn is put at the same time', async () => {
    const { owner, taskIds } = await queueTasks({});
    await dequeue(owner);
    for (let round = 0; round < 20; round++) {
      await passGrace(owner);
      await Promise.all([
        wakeStalledQueues(db, { limit: 1, graceSeconds: 10 }),
        ...taskIds.map(enqueue),
        dequeue(owner),
      ]);
      const owners = await readQueueOwners(db, 10_000);
      assert.ok((await countQueued(owner)) === 0 || owners.includes(owner), 'a queue was forgotten');
    }
  });
});

describe('a push worker', () => {
  test('wakes as many queued turns as it has room for', async () => {
    const { owner, taskIds } = await queueTasks({}, {}, {});
    const wakeups = await wakeQueuedTurns(db, { owner, count: 2 }, 10);
    assert.deepEqual(
      wakeups.map(({ taskId }) => taskId),
      taskIds.slice(0, 2),
    );
    const stored = await db.selectFrom('outbox').select('owner').where('task_id', '=', taskIds[0]!).execute();
    assert.ok(stored.every((row) => row.owner === owner));
  });
});

describe('the limit of an owner', () => {
  test('is exact when workers take turns at the same time', async () => {
    const { owner } = await queueTasks(...Array.from({ length: 8 }, () => ({})));
    const taken = await Promise.all(Array.from({ length: 5 }, () => dequeueIds(owner, 2, 3)));
    assert.equal(taken.flat().length, 3);
    assert.deepEqual(await dequeueIds(owner, 8, 3), []);
    assert.equal((await dequeueIds(owner, 8, 0)).length, 5);
  });

  test('counts a turn until it ends, its task is canceled or its worker is dead', async () => {
    const { owner } = await queueTasks(...Array.from({ length: 6 }, () => ({})));
    const [ended = '', canceled = '', dead = ''] = await dequeueIds(owner, 3, 3);
    const { lease } = await claimTask(db, ended);
    await claimTask(db, dead);
    assert.deepEqual(await dequeueIds(owner, 1, 3), []);
    await write({ lease, finish: newTurnEnd(ended, 'TASK_STATE_COMPLETED') });
    assert.equal((await dequeueIds(owner, 6, 3)).length, 1);
    await cancelTask(db, options, canceled);
    assert.equal((await dequeueIds(owner, 6, 3)).length, 1);
    await setLease(dead, -20);
    assert.equal((await dequeueIds(owner, 6, 3)).length, 1);
  });

  test('counts an expired lease for a while, and again once it is extended', async () => {
    const { owner } = await queueTasks({}, {}, {});
    const [running = ''] = await dequeueIds(owner, 1, 1);
    await claimTask(db, running);
    await setLease(running, -5);
    assert.deepEqual(await dequeueIds(owner, 1, 1), []);
    await setLease(running, -20);
    assert.equal((await dequeueIds(owner, 1, 1)).length, 1);
    await setLease(running, 20);
    assert.deepEqual(await dequeueIds(owner, 3, 2), []);
  });

  test('keeps a taken turn admitted until it is claimed', async () => {
    const { owner, taskIds } = await queueTasks({}, {});
    const [first = ''] = await dequeueIds(owner, 1, 1);
    assert.equal(first, taskIds[0]);
    assert.deepEqual(await dequeueIds(owner, 1, 1), []);
    await sql`update admitted_turns set admitted_until = now() where task_id = ${first}`.execute(db);
    assert.deepEqual(await dequeueIds(owner, 1, 1), [taskIds[1]]);
  });
});

describe('the backlog', () => {
  test('reports turns behind a limit as queued, not as waiting', async () => {
    const before = await readBacklog(db);
    const { owner } = await queueTasks({}, {}, {});
    const queued = await readBacklog(db);
    assert.equal(queued.turnsWaiting - before.turnsWaiting, 3, 'more workers would start them');
    assert.equal(queued.turnsQueued - before.turnsQueued, 3);
    await dequeue(owner, 1, 1);
    await dequeue(owner, 1, 1);
    const limited = await readBacklog(db);
    assert.equal(limited.turnsWaiting - before.turnsWaiting, 1);
    assert.equal(limited.ownersLimited - before.ownersLimited, 1);
  });
});
