/** The tasks of `npm run bench -- aged`: copies of a few, made inside PostgreSQL. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Client } from 'pg';
import { createTaskLister } from '#shared/db/tasks/list.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { createClaimedTask, newMessage, newTurnEnd, newWebhook } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { createExpression, findIdentities } from '../../tools/bench/cases/aged/preload/clone.ts';
import { copyTasks } from '../../tools/bench/cases/aged/preload/copy.ts';
import { findFreeSpaceMaps } from '../../tools/bench/cases/aged/preload/free-space.ts';
import { measureLocks } from '../../tools/bench/cases/aged/preload/locks.ts';
import { largeOwner, longContext } from '../../tools/bench/cases/aged/preload/seed.ts';

const tasks = 400;
const copy = { overrides: {}, transactionId: '1' };

describe('copies of tasks', () => {
  test('are tasks of their owners, with rows of their own in every table', async () => {
    const { db, pool, url } = await connectToTestDatabase();
    const [messageId, contextId] = [randomUUID(), uuidv7()];
    const { lease } = await createClaimedTask(db, {
      owner: 'owner-of-the-templates',
      contextId,
      messageId,
      message: newMessage('hello', messageId),
      webhook: newWebhook(),
    });
    const { taskId } = lease;
    const step = {
      name: 's',
      occurrence: 0,
      position: 0,
      inputHash: null,
      output: JSON.stringify({ taskId }),
    };
    await createTurnWriter(db, { wakeupGraceSeconds: 10 })({
      lease,
      steps: [step],
      finish: newTurnEnd(taskId, 'TASK_STATE_COMPLETED'),
    });
    await db.deleteFrom('outbox').execute();
    const client = await pool.connect();
    const identities = { task: taskId, context: contextId, message: messageId, follow_up: randomUUID() };
    try {
      const templates = [{ ...identities, owner: 'owner-of-the-templates' }];
      // Compares copies with their template, as their callers see them.
      await copyTasks({ clients: [client], db, templates, shares: [0], tasks, report: () => undefined });
      const { rows } = await client.query<{ name: string; rows: number; own: number }>(
        `select 'events' as name, count(*)::int as rows, count(distinct task_id)::int as own from events
           where payload::text like '%' || task_id || '%'
         union all select 'messages', count(*)::int, count(distinct context_key)::int from messages
         union all select 'sends', count(*)::int, count(distinct message_id)::int from sends where expires_at > now()
         union all select 'steps', count(*)::int, count(distinct output ->> 'taskId')::int from steps
         union all select 'deliveries', count(*)::int, count(distinct task_id)::int from deliveries
         union all select 'transactions', 40, count(distinct tx)::int from events`,
      );
      const own = Object.fromEntries(rows.map(({ name, own: distinct }) => [name, distinct]));
      assert.ok(own['events'] === tasks && own['steps'] === tasks && own['deliveries'] === tasks);
      assert.ok((own['messages'] ?? 0) > 35 && (own['transactions'] ?? 0) > 35, JSON.stringify(own));
      // Those of the last of 80 days.
      assert.equal(own['sends'], tasks / 80);
      const caller = { tenant: '', owner: largeOwner };
      const filter = { contextId: longContext };
      const page = await createTaskLister(db)({ caller, filter, size: 100, options: {} });
      assert.ok(page.tasks.length > 0);
      for (const { task } of page.tasks) assert.equal(task.history[0]?.contextId ?? longContext, longContext);
      const files = await findFreeSpaceMaps(url);
      const { rows: paths } = await client.query<{ path: string }>(
        `select pg_relation_filepath('events') as path`,
      );
      assert.ok(
        files.some((file) => file.endsWith(`${paths[0]?.path}_fsm`) && existsSync(file)),
        files.join(),
      );
    } finally {
      client.release();
    }
  });

  test('fail for a column whose type is not known to name a task', () => {
    const template = { task: 'T', context: 'C', context_key: 'K', message: 'M', follow_up: 'F', owner: 'O' };
    const found = findIdentities('children', [{ template, row: { children: ['T'] } }]);
    assert.throws(
      () => createExpression('tasks', { name: 'children', type: '_uuid' }, found, copy),
      /tasks\.children contains the task of a task, as _uuid/,
    );
    assert.equal(
      createExpression('tasks', { name: 'children', type: '_uuid' }, new Set(), copy),
      't."children"',
    );
  });
});

test('measures how long a migration locks tables', async () => {
  const { url } = await connectToTestDatabase();
  const client = new Client({ connectionString: url, application_name: 'a-migration' });
  await client.connect();
  const locks = await measureLocks(url, 'a-migration', async () => {
    await client.query('begin; alter table steps add column another text; select pg_sleep(0.3)');
    await client.query('create table new_table (id int); create index on events (kind); commit');
  });
  await client.end();
  assert.deepEqual(
    [...locks.keys()].toSorted(),
    ['events', 'steps'].filter((name) => locks.has(name)),
  );
  assert.ok((locks.get('steps') ?? 0) >= 50, JSON.stringify([...locks]));
});
