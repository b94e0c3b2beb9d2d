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
import { createAccept } from '#shared/db/tasks/accept.ts';
import { createCachedReader } from '#shared/db/tasks/cached-reader.ts';
import { createVersionReader } from '#shared/db/tasks/read.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { extendLeases } from '#shared/db/turns/leases.ts';
import { reportModelCall } from '#shared/db/turns/waits/model-waits.ts';
import { createTurnWriter, type NewStep } from '#shared/db/turns/write.ts';
import { createDeliveryClaim } from '#shared/db/webhooks/attempts/claim.ts';
import type { ClaimedDelivery } from '#shared/db/webhooks/attempts/claim-rows.ts';
import { createAttemptRecorder } from '#shared/db/webhooks/attempts/record.ts';
import type { Attempt, AttemptOutcome } from '#shared/db/webhooks/attempts/settle.ts';
import { takeDeliveries } from '#shared/db/webhooks/attempts/take.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { noUsage, type ModelUsage } from '#shared/domain/usage.ts';
import { caller, newTask, newTurnEnd, newWebhook } from '../../../support/database/new-task.ts';
import { findReads, type QueryPlan } from '../../../support/database/plan.ts';
import { createTestDatabase, openSingleConnection } from '../../../support/database/postgres.ts';

const tables = [
  'gates',
  'extended_leases',
  'tasks',
  'messages',
  'child_groups',
  'webhook_configs',
  'deliveries',
  'events',
];

const webhookOptions = { leaseSeconds: 30, wakeupGraceSeconds: 10 };
/** Each has a statement of its own. */
const records: { outcome: AttemptOutcome; mayContinue: boolean }[] = [
  { outcome: { kind: 'delivered' }, mayContinue: true },
  { outcome: { kind: 'retry', delaySeconds: 0 }, mayContinue: false },
  { outcome: { kind: 'delivered' }, mayContinue: false },
];

function newAttempt(taskId: string, record: (typeof records)[number], claimed?: ClaimedDelivery): Attempt {
  const config = { ...newWebhook({ id: 'c' }), owner: 'ada', previousSecret: null };
  const counts = { seq: 1, attempt: 1, fence: 1, failures: 0, mergedFrom: null, thin: false };
  const event = { event: undefined, traceparent: null };
  return {
    delivery: claimed ?? { taskId, configId: 'c', ...counts, ...event, config },
    startedAt: new Date(),
    durationMs: 1,
    status: 200,
    error: null,
    responseStart: null,
    ...record,
    nextClaimId: randomUUID(),
  };
}

const usage = { model: 'm', tokens: noUsage.tokens };

function newStep(used?: ModelUsage): NewStep {
  const step = { name: 'model', occurrence: 0, position: 0, inputHash: null, output: '1' };
  return { ...step, ...(used && { usage: used }) };
}

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
    await reportModelCall(db, options, { token: 't', interaction: 'i' });
    const finish = newTurnEnd(taskId, 'TASK_STATE_COMPLETED');
    for (const write of [
      { steps: [newStep()] },
      { steps: [newStep(usage)] },
      { finish },
      { finish, hasFamily: true },
    ]) {
      await assert.rejects(createTurnWriter(db, options)({ lease, ...write }), LeaseLostError);
    }
    await createDeliveryClaim(db, { leaseSeconds: 30 })({ taskId, configId: 'c', limit: 1 });
    await takeDeliveries(db, 30, { wakeups: 128, limit: 16, exceptOwners: [] });
    for (const record of records) await createAttemptRecorder(db, webhookOptions)(newAttempt(taskId, record));
    const prepared = new Set(queries.map(({ sql }) => sql).filter((sql) => sql.startsWith('-- prepared')));
    assert.equal(prepared.size, 15);

    const checkPlans = async (when: string) => {
      for (const text of prepared) {
        const { rows } = await pool.query(`explain (generic_plan, format json) ${text}`);
        const plan = rows[0]['QUERY PLAN'][0].Plan as QueryPlan;
        const reads = tables.flatMap((table) => findReads(plan, table));
        assert.ok(reads.length > 0, text);
        for (const read of reads) {
          // The versions of the gates that the statement has just found by their keys and locked.
          if (read['Node Type'] === 'Tid Scan') continue;
          // The claim reads the history of the context by the index that starts with it.
          const index = read.Alias?.startsWith('q') ? 'messages_by_context' : `${read['Relation Name']}_pkey`;
          assert.equal(read['Index Name'], index, `${when}: ${text}`);
        }
      }
    };
    for (const count of [0, ...Array<number>(30).fill(5), 300, 1_000, 5_000]) {
      // Without ANALYZE, the planner knows nothing of their owners and contexts.
      await pool.query(
        `with task as (
           insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown)
           select gen_random_uuid(), '', 'ada', gen_random_uuid()::text, 'none', 'TASK_STATE_WORKING', now(), true
           from generate_series(1, $1::int) returning id
         ),
         child_group as (insert into child_groups (id, parent_id, size, depth) select id, id, 1, 1 from task),
         gate as (insert into gates (task_id, last_event, wakeup_at) select id, 1, now() from task),
         config as (
           insert into webhook_configs (task_id, id, tenant, owner, url, events, protocol_version)
           select id, 'c', '', 'ada', '', 'all', '1.0' from task
         ),
         event as (insert into events (task_id, seq, kind, payload) select id, 1, 'state', '{}' from task),
         delivery as (insert into deliveries (task_id, config_id, seq, wakeup_at) select id, 'c', 1, now() from task)
         insert into messages (task_id, turn, role, message) select id, 1, 'user', '{}' from task`,
        [count],
      );
      await checkPlans(`${count} more tasks`);
    }
    // A partial index without entries looks cheap to the planner, and reads everything that is added later.
    await pool.query(`update deliveries set state = 'delivered'`);
    await pool.query('update gates set state_class = 2');
    await pool.query('vacuum analyze gates, tasks, messages, webhook_configs, deliveries, events');
    await checkPlans('statistics of ended tasks');
  });

  test('are planned once, however many tasks there are', async (t) => {
    const { db, pool } = await openSingleConnection(t);
    const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
    const accept = createAccept(db, options);
    await Promise.all(Array.from({ length: 2_000 }, () => accept(newTask())));
    const claim = createClaim(db, { worker: 'w', leaseSeconds: 30, maxAttempts: 5, ...options });
    const write = createTurnWriter(db, options);
    const claimDelivery = createDeliveryClaim(db, webhookOptions);
    const record = createAttemptRecorder(db, webhookOptions);
    const readCached = createCachedReader(db);
    const readVersion = createVersionReader(db);
    // PostgreSQL makes five plans for the values of a statement before it considers one for all values.
    for (let run = 0; run < 7; run++) {
      const task = newTask({ webhook: newWebhook({ id: 'c' }) });
      await accept(task);
      const claimed = await claim(task.taskId);
      assert.ok(claimed.kind === 'claimed');
      await extendLeases(db, [claimed.lease], 30);
      let next: ClaimedDelivery | undefined;
      for (const each of records) {
        const claimedNow = next
          ? []
          : (await claimDelivery({ taskId: task.taskId, configId: 'c', limit: 1 })).deliveries;
        const delivery = next ?? claimedNow[0];
        assert.ok(delivery);
        next = (await record(newAttempt(task.taskId, each, delivery)))?.next;
      }
      await readCached(caller, task.taskId);
      await readVersion(caller, task.taskId);
      await write({ lease: claimed.lease, steps: [newStep()] });
      await write({
        lease: claimed.lease,
        steps: [{ ...newStep(usage), occurrence: 1 }],
        taskUsage: noUsage,
      });
      await write({ lease: claimed.lease, finish: newTurnEnd(task.taskId, 'TASK_STATE_COMPLETED') });
      await createEnqueue(db, options)(task.taskId);
    }
    const { rows } = await pool.query<{ statement: string; custom: number; generic: number }>(
      `select statement, custom_plans::int as custom, generic_plans::int as generic from pg_prepared_statements`,
    );
    assert.equal(rows.length, 14);
    for (const { statement, custom, generic } of rows) {
      assert.ok(custom <= 5 && generic > 0, `${custom} plans of ${statement}`);
    }
  });
});
