/** A pass of the reconciler runs the statements of a check only if one short look has found work for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { findWork, type Work } from '#shared/db/outbox/find-work.ts';
import { createReconciler } from '#shared/outbox/reconciler.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();

const config = {
  reconcileMs: 2_000,
  wakeupGraceSeconds: 30,
  interruptedExpirySeconds: 60,
  retentionSeconds: 600,
};
const outbox = { publish: () => undefined, publishAll: async () => undefined, idle: async () => undefined };
const reconcile = createReconciler({ db, outbox, config, log: createLogger('test', 'silent') });

const none: Work = {
  expiredTasks: false,
  endedParents: false,
  unservedTurns: false,
  lateDeliveries: false,
  oldTasks: false,
};
const gate = (columns: string, values: string) =>
  `insert into gates (task_id, last_event, wakeup_at, ${columns})
   values (gen_random_uuid(), 1, now() + interval '1 hour', ${values})`;

/** Work of each kind, as few rows as make it. */
const work: readonly [name: string, kind: keyof Work, statement: string][] = [
  ['a task past its deadline', 'expiredTasks', gate('deadline_at', `now() - interval '1 second'`)],
  [
    'a question without an answer',
    'expiredTasks',
    gate('state_class, settled_at', `1, now() - interval '2 minutes'`),
  ],
  ['a parent that has ended', 'endedParents', `insert into ended_parents values (gen_random_uuid())`],
  [
    'a turn that waits for its version',
    'unservedTurns',
    `with gate as (${gate('state_class', '1')} returning task_id)
     insert into version_queue (task_id, agent_version, check_at) select task_id, 'v1', now() - interval '1 second' from gate`,
  ],
  [
    'a delivery whose wake-up is late',
    'lateDeliveries',
    `insert into deliveries (task_id, config_id, seq, wakeup_at)
     values (gen_random_uuid(), 'hook', 1, now() - interval '1 second')`,
  ],
  [
    'a task past its retention',
    'oldTasks',
    gate('state_class, settled_at', `2, now() - interval '11 minutes'`),
  ],
];

for (const [name, kind, statement] of work) {
  test(`${name} is found, and done by one pass`, async () => {
    assert.deepEqual(await findWork(db, config), none);
    await sql.raw(statement).execute(db);
    assert.deepEqual(await findWork(db, config), { ...none, [kind]: true });
    await reconcile();
    assert.deepEqual(await findWork(db, config), none);
  });
}

test('without a retention, tasks are kept', async () => {
  await sql.raw(gate('state_class, settled_at', `2, now() - interval '10 years'`)).execute(db);
  assert.deepEqual(await findWork(db, { ...config, retentionSeconds: 0 }), none);
});
