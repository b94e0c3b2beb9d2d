/** The scans that `npm run bench -- aged` reports. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { watchScans } from '../../tools/bench/cases/aged/plans.ts';

test('reports a table that was read whole, and no index that summarises new pages', async () => {
  const { pool } = await connectToTestDatabase();
  const insert = `insert into delivery_attempts (task_id, config_id, seq, attempt, started_at, duration_ms)
    select gen_random_uuid(), 'c', 1, 1, now() + n * interval '1 second', 1 from generate_series(1, $1::int) n`;
  const client = await pool.connect();
  const run = async (text: string) => {
    const { rows } = await client.query<{ ranges: number }>(text);
    await client.query('select pg_stat_force_next_flush()');
    return rows[0]?.ranges;
  };
  await client.query(insert, [60_000]);
  await run('vacuum analyze delivery_attempts');
  const findScans = await watchScans({ pool });
  try {
    await client.query(insert, [10_000]);
    const ranges = await run(`select brin_summarize_new_values('delivery_attempts_by_time') as ranges`);
    assert.ok((ranges ?? 0) > 0);
    assert.deepEqual(await findScans(), []);
    await run('select count(config_id) from delivery_attempts');
    const [found] = await findScans();
    assert.match(found?.name ?? '', /scans of delivery_attempts/);
    assert.ok((found?.value ?? 0) >= 70_000);
  } finally {
    client.release();
  }
});
