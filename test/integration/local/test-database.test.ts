import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from 'pg';
import { testDatabase } from '../../support/database/postgres.ts';

test('each database is fresh, migrated, and gone when closed', { timeout: 30_000 }, async () => {
  const [one, two] = await Promise.all([testDatabase(), testDatabase()]);
  assert.notEqual(one.url, two.url);
  const client = new Client({ connectionString: one.url });
  client.on('error', () => {}); // the drop ends its connection
  await client.connect();
  await client.query('CREATE TABLE only_here (n int)');
  const other = new Client({ connectionString: two.url });
  await other.connect();
  const { rows } = await other.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`,
  );
  await other.end();
  const names = rows.map(({ name }) => name);
  assert.ok(names.includes('tasks'), names.join());
  assert.ok(!names.includes('only_here'));

  await Promise.all([one.close(), two.close()]);
  await assert.rejects(new Client({ connectionString: one.url }).connect(), { code: '3D000' });
});
