/**
 * Plans that are made while there are few tasks, and kept: they must do for many. A task that is known by its id is looked
 * up by an index that begins with the id; one on owners would go through all tasks of an owner.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { Kysely, PostgresDialect, type CompiledQuery } from 'kysely';
import { Pool } from 'pg';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import type { Database } from '#shared/db/schema/schema.ts';
import { createCachedReader } from '#shared/db/tasks/cached-reader.ts';
import { createVersionReader } from '#shared/db/tasks/read.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { testDatabase } from '../../support/database/postgres.ts';

interface Plan {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  Alias?: string;
  Plans?: Plan[];
}

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];

test('prepared statements find tasks by their ids, however few there are when they are planned', async (t) => {
  const database = await testDatabase();
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
  const [caller, taskId] = [{ tenant: '', owner: 'ada' }, randomUUID()];
  const options = { wakeupGraceSeconds: 10 };
  await createCachedReader(db)(caller, taskId);
  await createVersionReader(db)(caller, taskId);
  await createClaim(db, { worker: 'w', leaseSeconds: 30, ...options })(taskId);
  await assert.rejects(
    createTurnWriter(db, options)({ lease: { taskId, turn: 1, fence: 1 } }),
    LeaseLostError,
  );
  const prepared = new Set(queries.map(({ sql }) => sql).filter((sql) => sql.startsWith('-- prepared')));
  assert.equal(prepared.size, 4);

  for (const count of [0, ...Array<number>(30).fill(5), 300, 1_000, 5_000]) {
    // Nobody has analyzed them: of their owners and contexts the planner knows nothing.
    await pool.query(
      `with made as (
         insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown)
         select gen_random_uuid(), '', 'ada', gen_random_uuid()::text, 'none', 'TASK_STATE_WORKING', now(), true
         from generate_series(1, $1::int) returning id
       )
       insert into messages (task_id, turn, role, message) select id, 1, 'user', '{}' from made`,
      [count],
    );
    for (const text of prepared) {
      const { rows } = await pool.query(`explain (generic_plan, format json) ${text}`);
      const looks = nodesOf(rows[0]['QUERY PLAN'][0].Plan).filter(
        (node) =>
          ['tasks', 'messages'].includes(node['Relation Name'] ?? '') && node['Node Type'] !== 'ModifyTable',
      );
      assert.ok(looks.length > 0, text);
      for (const look of looks) {
        // The claim reads what was said in the context, by the index that begins with that.
        const index = look.Alias === 'other' ? 'tasks_by_context' : `${look['Relation Name']}_pkey`;
        const [found = look] = look['Node Type'] === 'Bitmap Heap Scan' ? (look.Plans ?? []) : [];
        assert.equal(found['Index Name'], index, `${count} more tasks: ${text}`);
      }
    }
  }
});
