/** Messages that are sent again, on a real PostgreSQL. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import type { Pool } from 'pg';
import type { Db } from '#shared/db/client/pool.ts';
import { createAccept, type Accept } from '#shared/db/tasks/accept.ts';
import { newTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };

describe('a repeated message', () => {
  let db: Db;
  let pool: Pool;
  let accept: Accept;
  before(async () => {
    ({ db, pool } = await connectToTestDatabase());
    accept = createAccept(db, options);
  });

  test('creates one task when it is sent a hundred times at once', async () => {
    const messageId = randomUUID();
    // Each process has a batcher of its own.
    const processes = Array.from({ length: 5 }, () => createAccept(db, options));
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) => processes[index % 5]!(newTask({ messageId }))),
    );
    assert.equal(answers.filter((wakeups) => wakeups !== undefined).length, 1);
  });

  test('lets the other messages of its set be stored once', async () => {
    const repeated = newTask();
    await accept(repeated);
    const tasks = [newTask(), { ...newTask(), messageId: repeated.messageId }, newTask()];
    const answers = await Promise.all(tasks.map((task) => accept(task)));
    assert.deepEqual(
      answers.map((wakeups) => wakeups?.length),
      [1, undefined, 1],
    );
    const { rows } = await pool.query<{ tasks: number; events: number }>(
      `select (select count(*)::int from tasks where id = any($1)) as tasks,
         (select count(*)::int from events where task_id = any($1)) as events`,
      [tasks.map(({ taskId }) => taskId)],
    );
    assert.deepEqual(rows, [{ tasks: 2, events: 2 }]);
  });

  test('replaces an expired send once when it arrives many times', async () => {
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
});
