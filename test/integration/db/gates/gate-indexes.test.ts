/**
 * Indexes serve every query that searches gates, and no update during a turn changes an index.
 */
import assert from 'node:assert/strict';
import { before, beforeEach, describe, test } from 'node:test';
import { Kysely, PostgresDialect, type CompiledQuery } from 'kysely';
import { Pool } from 'pg';
import { readBacklog } from '#shared/db/outbox/backlog.ts';
import { findWork } from '#shared/db/outbox/find-work.ts';
import { wakeStalledTurns } from '#shared/db/outbox/reconcile.ts';
import type { Database } from '#shared/db/schema/schema.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { expireTasks } from '#shared/db/tasks/expire.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { deleteEndedTasks } from '#shared/db/tasks/retention.ts';
import { createTurnWriter, type WriteTurn } from '#shared/db/turns/write.ts';
import { createClaimedTask, claimTask, newFollowUp, newTurnEnd } from '../../../support/database/new-task.ts';
import { findReads, type QueryPlan } from '../../../support/database/plan.ts';
import { beforeStop, createTestDatabase } from '../../../support/database/postgres.ts';

const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 };
const limits = { limit: 500, graceSeconds: 10 };
const expiry = { limit: 500, wakeupGraceSeconds: 10, interruptedExpirySeconds: 3600 };

describe('indexes of gates', () => {
  let pool: Pool;
  let db: Kysely<Database>;
  let write: WriteTurn;
  const queries: CompiledQuery[] = [];

  before(async () => {
    const database = await createTestDatabase();
    // One connection, so that it reads its own statistics.
    pool = new Pool({ connectionString: database.url, max: 1 });
    db = new Kysely({
      dialect: new PostgresDialect({ pool }),
      log: ({ query }) => void queries.push(query),
    });
    beforeStop(async () => {
      await pool.end();
      await database.close();
    });
    write = createTurnWriter(db, options);
    await pool.query(
      `insert into gates (task_id, last_event, state_class, wakeup_at, settled_at, lease_until, deadline_at)
       select gen_random_uuid(), 1, class, now() + interval '1 hour', case when class > 0 then now() end,
         case when class = 0 then now() + interval '1 hour' end, case when i % 2 = 0 then now() + interval '1 day' end
       from generate_series(1, 20000) i cross join lateral (select i % 3 as class) c`,
    );
    await pool.query('analyze gates');
  });
  beforeEach(() => void (queries.length = 0));

  /** The indexes by which the statements since the test started read gates. */
  async function findGateIndexes(): Promise<Set<string>> {
    const found = new Set<string>();
    for (const { sql, parameters } of queries.slice()) {
      const { rows } = await pool.query(`explain (format json) ${sql}`, [...parameters]);
      const plan = rows[0]['QUERY PLAN'][0].Plan as QueryPlan;
      for (const node of findReads(plan, 'gates')) found.add(node['Index Name'] ?? node['Node Type']);
    }
    return found;
  }

  test('serve the search for stalled turns', async () => {
    await wakeStalledTurns(db, limits);
    assert.deepEqual(await findGateIndexes(), new Set(['gates_by_wakeup', 'gates_pkey']));
  });

  test('serve the look of a pass for work', async () => {
    await findWork(db, { interruptedExpirySeconds: 3600, retentionSeconds: 3600 });
    assert.deepEqual(await findGateIndexes(), new Set(['gates_by_deadline', 'gates_by_settled']));
  });

  test('serve the search for expired tasks', async () => {
    await expireTasks(db, expiry);
    const expected = ['gates_by_deadline', 'gates_by_settled', 'gates_pkey'];
    assert.deepEqual(await findGateIndexes(), new Set(expected));
  });

  test('serve the search for tasks past their retention', async () => {
    await deleteEndedTasks(db, { limit: 100, retentionSeconds: 3600 });
    assert.deepEqual(await findGateIndexes(), new Set(['gates_by_settled', 'gates_pkey']));
  });

  test('serve the backlog', async () => {
    await readBacklog(db);
    assert.deepEqual(await findGateIndexes(), new Set(['gates_by_wakeup']));
  });

  /** Updates of gates that a function makes: all of them, and those that changed no index (heap-only). */
  async function countUpdates(act: () => Promise<unknown>): Promise<{ all: number; heapOnly: number }> {
    const read = async () => {
      await pool.query('select pg_stat_force_next_flush()');
      const { rows } = await pool.query<{ all: number; heapOnly: number }>(
        `select n_tup_upd::int as all, n_tup_hot_upd::int as "heapOnly" from pg_stat_user_tables
         where relname = 'gates'`,
      );
      return rows[0]!;
    };
    const from = await read();
    await act();
    const to = await read();
    return { all: to.all - from.all, heapOnly: to.heapOnly - from.heapOnly };
  }

  test('are not written during a turn', async () => {
    const { lease } = await createClaimedTask(db);
    const step = { name: 's', occurrence: 0, position: 0, inputHash: null, output: '1' };
    const updates = await countUpdates(async () => {
      await write({ lease, events: [{ kind: 'progress', payload: '{}' }] });
      await write({ lease, steps: [step] });
      await acceptFollowUp(db, options, newFollowUp(lease.taskId));
    });
    assert.deepEqual(updates, { all: 3, heapOnly: 3 });
  });

  test('are not written by a claim', async () => {
    const { lease } = await createClaimedTask(db);
    const { taskId } = lease;
    await pool.query('update gates set lease_until = now() where task_id = $1', [taskId]);
    assert.deepEqual(await countUpdates(() => claimTask(db, taskId)), { all: 1, heapOnly: 1 });
  });

  for (const state of ['TASK_STATE_COMPLETED', 'TASK_STATE_INPUT_REQUIRED'] as const) {
    test(`find a task by settled_at after ${state}`, async () => {
      const { lease } = await createClaimedTask(db);
      await write({ lease, finish: newTurnEnd(lease.taskId, state) });
      const gate = await db
        .selectFrom('gates')
        .selectAll()
        .where('task_id', '=', lease.taskId)
        .executeTakeFirst();
      assert.ok(gate?.settled_at instanceof Date);
    });
  }

  test('lose settled_at when a message resumes a task, and regain it on a cancel', async () => {
    const { lease } = await createClaimedTask(db);
    const readSettledAt = async () =>
      (
        await db
          .selectFrom('gates')
          .select('settled_at')
          .where('task_id', '=', lease.taskId)
          .executeTakeFirst()
      )?.settled_at;
    await write({ lease, finish: newTurnEnd(lease.taskId, 'TASK_STATE_INPUT_REQUIRED') });
    await acceptFollowUp(db, options, newFollowUp(lease.taskId));
    assert.equal(await readSettledAt(), null);
    await cancelTask(db, options, lease.taskId);
    assert.ok((await readSettledAt()) instanceof Date);
  });
});
