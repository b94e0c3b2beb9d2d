/** `forget` and `export` as processes that are killed (SIGKILL) in the middle, and run again. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import type { Db } from '#shared/db/client/pool.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { runNode } from '../../support/processes/processes.ts';
import { createTempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';

const timeout = 120_000;
const owner = 'key:ada';

async function insertTasks(db: Db, count: number): Promise<void> {
  await sql`
    with task as (
      insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown)
      select gen_random_uuid(), '', ${owner}, 'c', 'h', 'TASK_STATE_COMPLETED', now(), true from generate_series(1, ${count})
      returning id
    )
    insert into gates (task_id, last_event, state_class, wakeup_at) select id, 1, 2, now() from task`.execute(
    db,
  );
}

const countTasks = async (db: Db): Promise<number> =>
  Number((await sql<{ count: string }>`select count(*) from gates`.execute(db)).rows[0]?.count);

describe('a killed command', () => {
  const start = (t: TestContext, url: string, auditLog: string, ...args: string[]) =>
    runNode(t, ['services/admin/main.ts', ...args], { env: { DATABASE_URL: url, AUDIT_LOG: auditLog } });

  test('forget is completed by the next run, with one receipt', { timeout }, async (t) => {
    const { db, pool, url } = await connectToTestDatabase();
    await insertTasks(db, 250);
    const auditLog = path.join(createTempDir(t), 'audit');
    const args = ['forget', '--owner', owner, '--yes'] as const;
    // The tasks are deleted; their ledger waits for a lock.
    await sql`insert into ledger values ('', ${owner}, now(), 'm', 1, 1, 1, 1, 1, 1, 1, 0)`.execute(db);
    const holder = await pool.connect();
    await holder.query('begin');
    await holder.query('select from ledger for update');
    const first = start(t, url, auditLog, ...args);
    await waitFor('the end of the tasks', async () => (await countTasks(db)) === 0);
    first.child.kill('SIGKILL');
    assert.equal((await first.exited).signal, 'SIGKILL');
    await holder.query('rollback');
    holder.release();
    assert.deepEqual(await start(t, url, auditLog, ...args).exited, { code: 0, signal: null });
    assert.deepEqual(await db.selectFrom('ledger').select('owner').execute(), []);
    const entries = readFileSync(auditLog, 'utf8').trim().split('\n');
    const results = entries.map((line) => {
      const { action, result } = JSON.parse(line) as { action: string; result: string };
      return [action, result];
    });
    assert.deepEqual(results, [['admin forget', 'ok']]);
  });

  test('export is completed from its last line', { timeout }, async (t) => {
    const { db, url } = await connectToTestDatabase();
    await insertTasks(db, 2_000);
    const first = start(t, url, '/dev/null', 'export', '--owner', owner);
    await first.line(/"cursor"/);
    first.child.kill('SIGKILL');
    await first.exited;
    const done = readCursors(first.output());
    const rest = start(t, url, '/dev/null', 'export', '--owner', owner, '--after', done.at(-1) ?? '');
    assert.equal((await rest.exited).code, 0);
    const cursors = [...done, ...readCursors(rest.output())];
    assert.equal(cursors.length, 2_000);
    assert.equal(new Set(cursors).size, 2_000);
  });
});

/** Returns the cursors of the lines that are whole: the last one may be cut off. */
function readCursors(output: string): string[] {
  return output.split('\n').flatMap((line) => {
    try {
      const { cursor } = JSON.parse(line) as { cursor?: string };
      return cursor === undefined ? [] : [cursor];
    } catch {
      return [];
    }
  });
}
