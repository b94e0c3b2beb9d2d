/** The usage of owners, counted on a real PostgreSQL over all tenants. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Kysely, PostgresDialect, type PostgresPool, sql, type CompiledQuery } from 'kysely';
import type { Pool } from 'pg';
import type { Db } from '#shared/db/client/pool.ts';
import { countTaskBytes, countFollowUpBytes, countWriteBytes } from '#shared/db/owners/bytes.ts';
import { createUsageRecorder } from '#shared/db/owners/usage-recorder.ts';
import { createUsageReader, recountOwnerUsage, type OwnerUsage } from '#shared/db/owners/usage.ts';
import type { Database } from '#shared/db/schema/schema.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { storeFile } from '#shared/db/tasks/files.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { deleteTasksOfOwner } from '#shared/db/tasks/retention.ts';
import { createTurnWriter, type TurnWrite } from '#shared/db/turns/write.ts';
import {
  claimTask,
  createStatePayload,
  newFollowUp,
  newTask,
  newTurnEnd,
  newWebhook,
} from '../../../support/database/new-task.ts';
import { findReads, type QueryPlan } from '../../../support/database/plan.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { waitFor } from '../../../support/wait-for.ts';

const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };

describe('usage of owners', () => {
  let db: Db;
  let pool: Pool;
  before(async () => {
    ({ db, pool } = await connectToTestDatabase());
  });

  async function getUsage(owner: string, maxOpenTasks = 1_000): Promise<OwnerUsage> {
    return (await createUsageReader(db)({ owner, maxOpenTasks })).usage;
  }

  async function getGateBytes(taskId: string): Promise<number> {
    const { bytes } = await db
      .selectFrom('gates')
      .select('bytes')
      .where('task_id', '=', taskId)
      .executeTakeFirstOrThrow();
    return Number(bytes);
  }

  test('counts the bytes of a task in its gate, from the message to the last file', async () => {
    const task = newTask({ owner: 'bytes', metadata: '{"a": "ü"}' });
    await createAccept(db, options)(task);
    let expected = countTaskBytes(task);
    assert.equal(await getGateBytes(task.taskId), expected);
    assert.ok(expected > Buffer.byteLength(task.message) + Buffer.byteLength(task.event));

    const followUp = newFollowUp(task.taskId, { owner: 'bytes' });
    await acceptFollowUp(db, options, followUp);
    expected += countFollowUpBytes(followUp);
    const { lease } = await claimTask(db, task.taskId);
    const content = Buffer.from('x'.repeat(1_000));
    const file = { hash: 'h', mediaType: 'text/plain', filename: null, content };
    assert.equal(await storeFile(db, lease, file), 1_000);
    assert.equal(await storeFile(db, lease, file), 0, 'the file is stored once');
    const write: TurnWrite = {
      lease,
      events: [
        {
          kind: 'artifact',
          payload: JSON.stringify({ text: 'é' }),
          artifact: { artifactId: 'a', whole: '{"parts":[]}' },
        },
      ],
      steps: [{ name: 's', occurrence: 0, position: 0, inputHash: null, output: '"result"' }],
      finish: newTurnEnd(task.taskId, 'TASK_STATE_COMPLETED'),
    };
    await createTurnWriter(db, options)(write);
    assert.equal(await getGateBytes(task.taskId), expected + 1_000 + countWriteBytes(write));
  });

  test('counts open tasks of all tenants up to the bound, and no ended ones', async () => {
    const accept = createAccept(db, options);
    const tasks = ['', 'a', 'b', 'c'].map((tenant) => newTask({ owner: 'open', tenant }));
    await Promise.all(tasks.map((task) => accept(task)));
    await accept(newTask({ owner: 'another' }));
    assert.equal((await getUsage('open')).openTasks, 4);
    assert.equal((await getUsage('open', 3)).openTasks, 3);
    const { lease } = await claimTask(db, tasks[0]!.taskId);
    await createTurnWriter(
      db,
      options,
    )({ lease, finish: newTurnEnd(lease.taskId, 'TASK_STATE_INPUT_REQUIRED') });
    assert.equal((await getUsage('open')).openTasks, 4, 'an interrupted task is open');
    const second = await claimTask(db, tasks[1]!.taskId);
    await createTurnWriter(
      db,
      options,
    )({ lease: second.lease, finish: newTurnEnd(second.lease.taskId, 'TASK_STATE_FAILED') });
    assert.equal((await getUsage('open')).openTasks, 3);
  });

  test('counts open tasks in the index, however many tasks have ended', async () => {
    await pool.query(
      `insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown)
       select gen_random_uuid(), 'tenant ' || n, 'many', n::text, 'none',
         case when n % 1000 = 0 then 'TASK_STATE_WORKING' else 'TASK_STATE_COMPLETED' end, now(), true
       from generate_series(1, 20000) n`,
    );
    await pool.query('vacuum analyze tasks');
    const queries: CompiledQuery[] = [];
    const logged = new Kysely<Database>({
      dialect: new PostgresDialect({ pool }),
      log: ({ query }) => void queries.push(query),
    });
    const { usage } = await createUsageReader(logged)({ owner: 'many', maxOpenTasks: 1_000 });
    assert.equal(usage.openTasks, 20);
    const [query] = queries;
    const { rows } = await pool.query(`explain (analyze, buffers, format json) ${query?.sql}`, [
      ...(query?.parameters ?? []),
    ]);
    const plan = rows[0]['QUERY PLAN'][0].Plan as QueryPlan & { 'Shared Hit Blocks': number };
    const [read] = findReads(plan, 'tasks');
    assert.deepEqual([read?.['Node Type'], read?.['Index Name']], ['Index Only Scan', 'tasks_by_owner']);
    assert.ok(plan['Shared Hit Blocks'] < 60, `${plan['Shared Hit Blocks']} blocks`);
  });

  test('adds what processes recorded, and subtracts removed tasks', async () => {
    const recorders = [createUsageRecorder(db), createUsageRecorder(db)];
    const accept = createAccept(db, options);
    const tasks = Array.from({ length: 6 }, () => newTask({ owner: 'stored', webhook: newWebhook() }));
    for (const [index, task] of tasks.entries()) {
      await accept(task);
      const bytes = countTaskBytes(task);
      recorders[index % 2]!.add('stored', { bytes, webhookConfigs: 1 });
      assert.ok(recorders[index % 2]!.getPending('stored').bytes >= bytes);
    }
    await Promise.all(recorders.map((recorder) => recorder.close()));
    const total = tasks.reduce((sum, task) => sum + countTaskBytes(task), 0);
    const expected = { openTasks: 6, storedBytes: total, webhookConfigs: 6, modelCostPerDay: 0 };
    assert.deepEqual(await getUsage('stored'), expected);
    assert.equal(await deleteTasksOfOwner(db, { tenant: '', owner: 'stored' }, 4), 4);
    const left = await getUsage('stored');
    assert.deepEqual([left.openTasks, left.webhookConfigs], [2, 2]);
    await deleteTasksOfOwner(db, { tenant: '', owner: 'stored' }, 4);
    assert.deepEqual(await getUsage('stored'), {
      openTasks: 0,
      storedBytes: 0,
      webhookConfigs: 0,
      modelCostPerDay: 0,
    });
  });

  test('records again what the database refused', async () => {
    const { promise: refused, resolve } = Promise.withResolvers<void>();
    const logged = new Kysely<Database>({
      dialect: new PostgresDialect({ pool }),
      log: ({ level }) => void (level === 'error' && resolve()),
    });
    const recorder = createUsageRecorder(logged);
    await pool.query('alter table owner_usage rename to renamed');
    recorder.add('retried', { bytes: 5 });
    await refused;
    recorder.add('retried', { bytes: 2 });
    await pool.query('alter table renamed rename to owner_usage');
    assert.deepEqual(recorder.getPending('retried'), { bytes: 7, webhookConfigs: 0 });
    await recorder.close();
    assert.equal((await getUsage('retried')).storedBytes, 7);
  });

  test('does not record again what the database may have stored', async () => {
    const query = () => Promise.reject(new Error('Connection terminated unexpectedly'));
    const connect = async () => ({ query, release: () => undefined });
    const broken = { connect, end: async () => undefined, options: {} } as unknown as PostgresPool;
    const recorder = createUsageRecorder(
      new Kysely<Database>({ dialect: new PostgresDialect({ pool: broken }) }),
    );
    recorder.add('unknown', { bytes: 5 });
    await waitFor('the failed update', () => recorder.getPending('unknown').bytes === 0);
    await recorder.close();
  });

  test('recounts from the stored tasks', async () => {
    const task = newTask({ owner: 'drifted', webhook: newWebhook() });
    await createAccept(db, options)(task);
    await sql`insert into owner_usage (owner, bytes) values ('drifted', 7), ('gone', 9)`.execute(db);
    assert.equal(await recountOwnerUsage(db, 'drifted'), 1);
    const { storedBytes, webhookConfigs } = await getUsage('drifted');
    assert.deepEqual([storedBytes, webhookConfigs], [countTaskBytes(task), 1]);
    assert.equal((await getUsage('gone')).storedBytes, 9, 'other owners are not recounted');
    await recountOwnerUsage(db);
    assert.equal((await getUsage('gone')).storedBytes, 0);
  });

  test('counts nothing for a status message that is also an event', () => {
    const payload = createStatePayload({ taskId: 't', contextId: 'c' }, 'TASK_STATE_WORKING');
    const event = { kind: 'progress', payload, statusMessage: '{"parts":[]}' } as const;
    assert.equal(countWriteBytes({ events: [event] }), Buffer.byteLength(payload));
  });
});
