/** Reports for operators read what they report, however many rows are stored. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kysely, PostgresDialect, type CompiledQuery } from 'kysely';
import { countOutcomes } from '#shared/db/ops/outcomes.ts';
import type { Database } from '#shared/db/schema/schema.ts';
import { readDeliveryStats } from '#shared/db/webhooks/stats.ts';
import { findScans, type QueryPlan } from '../../support/database/plan.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';

test('reports of webhooks and outcomes read no large table whole', async () => {
  const { pool } = await connectToTestDatabase();
  // The oldest first, as they are written.
  await pool.query(
    `with gate as (
       insert into gates (task_id, last_event, state_class, wakeup_at, settled_at, worker)
       select md5(i::text)::uuid, 1, 2, now(), now() - i * interval '1 minute', 'v1/w' from generate_series(20000, 1, -1) i
     ),
     task as (
       insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown)
       select md5(i::text)::uuid, '', 'ada', i::text, 'none', 'TASK_STATE_COMPLETED', now(), true
       from generate_series(20000, 1, -1) i
     ),
     config as (
       insert into webhook_configs (task_id, id, tenant, owner, url, events, protocol_version)
       select md5(i::text)::uuid, 'c', '', 'ada', 'https://example.com/', 'all', '1.0' from generate_series(20000, 1, -1) i
     ),
     delivery as (
       insert into deliveries (task_id, config_id, seq, wakeup_at, state, attempts, started_at, duration_ms, status)
       select md5(i::text)::uuid, 'c', 1, now(), 'delivered', 2, now() - i * interval '1 minute', 1, 200
       from generate_series(20000, 1, -1) i
     )
     insert into delivery_attempts (task_id, config_id, seq, attempt, started_at, duration_ms, status)
     select md5(i::text)::uuid, 'c', 1, 1, now() - i * interval '1 minute', 1, 500 from generate_series(20000, 1, -1) i`,
  );
  await pool.query('vacuum analyze');
  const queries: CompiledQuery[] = [];
  const db = new Kysely<Database>({
    dialect: new PostgresDialect({ pool }),
    log: ({ query }) => void queries.push(query),
  });
  const stats = await readDeliveryStats(db, 1);
  assert.deepEqual(
    stats.hosts.map(({ host, attempts }) => [host, attempts]),
    [['example.com', 118]],
  );
  assert.deepEqual(await countOutcomes(db, 3_600), [{ release: 'v1', ended: 59, failed: 0 }]);
  assert.equal(queries.length, 3);
  for (const { sql, parameters } of queries) {
    const { rows } = await pool.query(`explain (format json) ${sql}`, [...parameters]);
    const plan = rows[0]['QUERY PLAN'][0].Plan as QueryPlan;
    assert.deepEqual(findScans(plan), [], sql);
  }
});
