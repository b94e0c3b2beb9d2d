/**
 * Prepared statements are planned while there are few tasks, and their plans must suit many. A task whose id
 * is known is found by an index that starts with the id; an index by owner would read all tasks of the owner.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { Kysely, PostgresDialect, type CompiledQuery } from 'kysely';
import { Pool } from 'pg';
import { createEnqueue } from '#shared/db/queue/enqueue.ts';
import type { Database } from '#shared/db/schema/schema.ts';
import { createCachedReader } from '#shared/db/tasks/cached-reader.ts';
import { createVersionReader } from '#shared/db/tasks/read.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { extendLeases } from '#shared/db/turns/leases.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { caller } from '../../support/database/new-task.ts';
import { findReads, type QueryPlan } from '../../support/database/plan.ts';
import { createTestDatabase } from '../../support/database/postgres.ts';

describe('prepared statements', () => {
  test('find tasks by id even if they were planned for few tasks', async (t) => {
    const database = await createTestDatabase();
    const pool = new Pool({ connectionString: database.url, max: 1 });
    const queries: CompiledQuery[] = [];
    const db = new Kysely<Database>({
      dialect: new PostgresDialect({ pool }),
      log: ({ query }) => void queries.push(query),
    });
    t.after(async () => {
      await db.destroy();
      await database.close();
    });
    const taskId = randomUUID();
    const lease = { taskId, turn: 1, fence: 1 };
    const options = { wakeupGraceSeconds: 10 };
    await createCachedReader(db)(caller, taskId);
    await createVersionReader(db)(caller, taskId);
    await createClaim(db, { worker: 'w', leaseSeconds: 30, maxAttempts: 5, ...options })(taskId);
    await createEnqueue(db, options)(taskId);
    await extendLeases(db, [lease], 30);
    await assert.rejects(createTurnWriter(db, options)({ lease }), LeaseLostError);
    const prepared = new Set(queries.map(({ sql }) => sql).filter((sql) => sql.startsWith('-- prepared')));
    assert.equal(prepared.size, 6);

    for (const count of [0, ...Array<number>(30).fill(5), 300, 1_000, 5_000]) {
      // Without ANALYZE, the planner knows nothing of their owners and contexts.
      await pool.query(
        `with task as (
           insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown)
           select gen_random_uuid(), '', 'ada', gen_random_uuid()::text, 'none', 'TASK_STATE_WORKING', now(), true
           from generate_series(1, $1::int) returning id
         ),
         gate as (insert into gates (task_id, last_event, wakeup_at) select id, 1, now() from task)
         insert into messages (task_id, turn, role, message) select id, 1, 'user', '{}' from task`,
        [count],
      );
      for (const text of prepared) {
        const { rows } = await pool.query(`explain (generic_plan, format json) ${text}`);
        const plan = rows[0]['QUERY PLAN'][0].Plan as QueryPlan;
        const reads = ['gates', 'tasks', 'messages'].flatMap((table) => findReads(plan, table));
        assert.ok(reads.length > 0, text);
        for (const read of reads) {
          // The claim reads the history of the context by the index that starts with it.
          const index = read.Alias === 'q' ? 'messages_by_context' : `${read['Relation Name']}_pkey`;
          assert.equal(read['Index Name'], index, `${count} more tasks: ${text}`);
        }
      }
    }
  });
});
