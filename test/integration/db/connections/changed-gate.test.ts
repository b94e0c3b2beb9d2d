/**
 * Gates that change after a statement has started, and before it finds them. The statement sees everything else as of its
 * start, so it leaves such a gate out and is repeated: otherwise a claim could lack a step that was recorded meanwhile.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Kysely, PostgresDialect, type CompiledQuery } from 'kysely';
import { Pool } from 'pg';
import type { Database } from '#shared/db/schema/schema.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { createClaimedTask, newTask } from '../../../support/database/new-task.ts';
import { beforeStop, connectToTestDatabase } from '../../../support/database/postgres.ts';
import { waitFor } from '../../../support/wait-for.ts';

const { db, pool, url } = await connectToTestDatabase({ direct: true });
const options = { wakeupGraceSeconds: 10 };
const lockId = 77;

const recorded: CompiledQuery[] = [];
const recordingPool = new Pool({ connectionString: url, max: 1 });
beforeStop(() => recordingPool.end());
const recording = new Kysely<Database>({
  dialect: new PostgresDialect({ pool: recordingPool }),
  log: ({ query }) => void recorded.push(query),
});

/** Returns the prepared statement of an operation, which starts, reads its input, and waits for a lock. */
async function record(operation: () => Promise<unknown>): Promise<CompiledQuery> {
  recorded.length = 0;
  await recordingPool.query('begin');
  await operation();
  await recordingPool.query('rollback');
  const statement = recorded.find(({ sql }) => sql.startsWith('-- prepared'))!;
  const held = `(select pg_advisory_xact_lock(${lockId})) held`;
  const sql = statement.sql.replace(
    /input as \(\s*(select \* from unnest.*? limit \$\d+::int)\s*\)/s,
    (_, input: string) => `input as materialized (select input.* from (${input}) input cross join ${held})`,
  );
  assert.notEqual(sql, statement.sql);
  return { ...statement, sql };
}

/** Runs a statement whose gate changes after it has started. Returns the number of rows: gates that it updated. */
async function runWhileGateChanges(taskId: string, { sql, parameters }: CompiledQuery): Promise<number> {
  const other = await pool.connect();
  await other.query('select pg_advisory_lock($1)', [lockId]);
  const running = pool.query(sql, [...parameters]);
  await waitFor('the statement', async () => {
    const { rowCount } = await other.query(
      `select from pg_locks where locktype = 'advisory' and not granted`,
    );
    return rowCount === 1;
  });
  await other.query('update gates set config_rev = config_rev + 1 where task_id = $1', [taskId]);
  await other.query('select pg_advisory_unlock($1)', [lockId]);
  other.release();
  return (await running).rows.length;
}

describe('a gate that changes after the start of a statement', () => {
  test('is not claimed', async () => {
    const task = newTask();
    await createAccept(db, { ...options, idempotencyWindowSeconds: 60 })(task);
    const claim = createClaim(recording, { worker: 'w', leaseSeconds: 30, maxAttempts: 5, ...options });
    const statement = await record(() => claim(task.taskId));
    assert.equal(await runWhileGateChanges(task.taskId, statement), 0);
    assert.equal(
      (await createClaim(db, { worker: 'w', leaseSeconds: 30, maxAttempts: 5, ...options })(task.taskId))
        .kind,
      'claimed',
    );
  });

  test('is not written', async () => {
    const { lease } = await createClaimedTask(db);
    const statement = await record(() => createTurnWriter(recording, options)({ lease }));
    assert.equal(await runWhileGateChanges(lease.taskId, statement), 0);
    await createTurnWriter(db, options)({ lease });
  });
});
