import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Client } from 'pg';
import { createTestDatabase } from '../../support/database/postgres.ts';

describe('createTestDatabase', { timeout: 30_000 }, () => {
  test('creates a separate migrated database for each call', async (t) => {
    const [first, second] = await Promise.all([createTestDatabase(), createTestDatabase()]);
    t.after(() => Promise.all([first.close(), second.close()]));
    assert.notEqual(first.url, second.url);
    const client = new Client({ connectionString: first.url });
    await client.connect();
    await client.query('CREATE TABLE only_here (n int)');
    await client.end();
    const other = new Client({ connectionString: second.url });
    await other.connect();
    const { rows } = await other.query<{ name: string }>(
      `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`,
    );
    await other.end();
    const names = rows.map(({ name }) => name);
    assert.ok(names.includes('tasks'), names.join());
    assert.ok(!names.includes('only_here'));
  });

  test('drops the database on close, even with an open connection', async () => {
    const database = await createTestDatabase();
    const client = new Client({ connectionString: database.url });
    client.on('error', () => {}); // the drop ends its connection
    await client.connect();
    await database.close();
    await assert.rejects(new Client({ connectionString: database.url }).connect(), { code: '3D000' });
  });
});
