/** Schedules start their tasks once for each due time, in any number of processes and after outages. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { sql } from 'kysely';
import { createEncryptor, parseEncryptionKeys } from '#shared/crypto/encryption.ts';
import { fireSchedules, readNextWakeup, type FireOptions } from '#shared/db/schedules/fire.ts';
import { listFirings } from '#shared/db/schedules/firings.ts';
import {
  deleteSchedule,
  getSchedule,
  listSchedules,
  putSchedule,
  setPaused,
  type ScheduleSettings,
} from '#shared/db/schedules/store.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import type { OwnerLimits } from '#shared/domain/owner-limits.ts';
import type { OverlapPolicy } from '#shared/domain/schedule.ts';
import { createCopyWebhook, runSchedules } from '#shared/outbox/schedules.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { decryptSecrets, encryptSecrets } from '#shared/webhooks/secrets.ts';
import { skipIfEncrypted } from '../../support/database/contents.ts';
import { newWebhook } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { noLimits } from '../../support/services/quotas.ts';

const { db } = await connectToTestDatabase();
const encryptor = createEncryptor(parseEncryptionKeys(`test:${randomBytes(32).toString('base64')}`).keys);
const copyWebhook = createCopyWebhook(encryptor);

before(() => storeAgent(db, 'first', { limits: { taskSeconds: 600 } }));

/** Each test has an owner of its own, and fires its schedules only while no other test runs. */
const newCaller = () => ({ tenant: '', owner: randomUUID() });

function newSchedule(more: Partial<ScheduleSettings> = {}): ScheduleSettings {
  return {
    id: 'hourly',
    rhythm: { cron: '0 * * * *', timeZone: 'UTC' },
    overlap: 'skip',
    catchUpSeconds: 86_400,
    paused: false,
    template: {
      message: { role: 'ROLE_USER', parts: [{ text: 'hello' }] },
      metadata: null,
      acceptedOutputModes: null,
      priority: 0,
    },
    toWebhook: () => null,
    ...more,
  };
}

function fire(more: Partial<FireOptions> = {}) {
  return fireSchedules(db, {
    getLimits: async () => noLimits,
    copyWebhook,
    wakeupGraceSeconds: 10,
    limit: 100,
    ...more,
  });
}

/** Lets a schedule be due since some whole hours. Returns the first due time. */
async function makeDue(owner: string, hours: number): Promise<Date> {
  const { rows } = await sql<{ next_at: Date }>`
    update schedules set next_at = date_trunc('hour', now()) - ${hours} * interval '1 hour', wakeup_at = now() - interval '1 second'
    where owner = ${owner} returning next_at`.execute(db);
  return rows[0]!.next_at;
}

async function listTasks(
  owner: string,
): Promise<{ id: string; state: string; message: { messageId: string } }[]> {
  const rows = await db
    .selectFrom('tasks as t')
    .innerJoin('messages as m', 'm.task_id', 't.id')
    .select(['t.id', 't.state', 'm.message'])
    .where('t.owner', '=', owner)
    .orderBy('t.id')
    .execute();
  return rows;
}

async function listHistory(owner: string): Promise<string[]> {
  const page = await listFirings(db, { tenant: '', owner }, 'hourly', { size: 100, before: undefined });
  return (page ?? assert.fail('no such schedule')).firings.map(
    ({ taskId, reason, count }) => `${taskId === null ? reason : 'started'} ${count}`,
  );
}

const hourMs = 3_600_000;

describe('schedules', () => {
  test('start each due time once in ten concurrent passes', { skip: skipIfEncrypted }, async () => {
    const owners = Array.from({ length: 20 }, newCaller);
    for (const caller of owners) {
      await putSchedule(db, caller, newSchedule({ overlap: 'allow' }), 0);
      await makeDue(caller.owner, 2);
    }
    const pass = async () => {
      while ((await fire({ limit: 7 })).examined > 0);
    };
    await Promise.all(Array.from({ length: 10 }, pass));
    for (const { owner } of owners) {
      const { next_at } = await db
        .selectFrom('schedules')
        .select('next_at')
        .where('owner', '=', owner)
        .executeTakeFirstOrThrow();
      const tasks = await listTasks(owner);
      const dueAt = tasks.map(({ message }) => message.messageId.slice(37)).toSorted();
      const expected = [3, 2, 1].map((hours) => new Date(next_at!.getTime() - hours * hourMs).toISOString());
      assert.deepEqual(dueAt, expected);
      assert.deepEqual(await listHistory(owner), ['started 1', 'started 1', 'started 1']);
    }
  });

  test('report the due times of an outage before the catch-up window as skipped', async () => {
    const caller = newCaller();
    await putSchedule(db, caller, newSchedule({ overlap: 'allow', catchUpSeconds: 5_400 }), 0);
    await makeDue(caller.owner, 5);
    while ((await fire()).examined > 0);
    const history = await listHistory(caller.owner);
    const [started, skipped] = [history.filter((row) => row === 'started 1'), history.at(-1) ?? ''];
    assert.ok(started.length >= 1 && started.length <= 2);
    assert.equal(skipped, `missed ${6 - started.length}`);
    assert.equal((await listTasks(caller.owner)).length, started.length);
  });

  for (const [overlap, states, history] of [
    ['skip', ['SUBMITTED'], ['overlap 1', 'started 1']],
    ['queue', ['SUBMITTED'], ['started 1']],
    ['cancel', ['CANCELED', 'SUBMITTED'], ['started 1', 'started 1']],
    ['allow', ['SUBMITTED', 'SUBMITTED'], ['started 1', 'started 1']],
  ] as [OverlapPolicy, string[], string[]][]) {
    test(`follow the overlap policy "${overlap}" while the previous task is open`, async () => {
      const caller = newCaller();
      await putSchedule(db, caller, newSchedule({ overlap }), 0);
      await makeDue(caller.owner, 0);
      await fire();
      await sql`update schedule_firings set due_at = due_at - interval '1 hour'
        where schedule_key in (select key from schedules where owner = ${caller.owner})`.execute(db);
      await makeDue(caller.owner, 0);
      await fire();
      const tasks = await listTasks(caller.owner);
      assert.deepEqual(
        tasks.map(({ state }) => state.slice('TASK_STATE_'.length)),
        states,
      );
      assert.deepEqual(await listHistory(caller.owner), history);
      if (overlap !== 'queue') return;
      await cancelTask(db, { wakeupGraceSeconds: 10 }, tasks[0]!.id);
      await sql`update schedules set wakeup_at = now() - interval '1 second' where owner = ${caller.owner}`.execute(
        db,
      );
      await fire();
      assert.deepEqual(await listHistory(caller.owner), ['started 1', 'started 1']);
    });
  }

  test('record a due time that a limit refuses', async () => {
    const caller = newCaller();
    const limits: OwnerLimits = { ...noLimits, openTasks: 1 };
    for (const id of ['a', 'hourly']) await putSchedule(db, caller, newSchedule({ id }), 0);
    await makeDue(caller.owner, 0);
    const { started, skipped } = await fire({ getLimits: async () => limits });
    assert.deepEqual([started, skipped], [1, 1]);
    const reasons = await sql<{ reason: string }>`
      select reason from schedule_firings where task_id is null
        and schedule_key in (select key from schedules where owner = ${caller.owner})`.execute(db);
    assert.deepEqual(
      reasons.rows.map(({ reason }) => reason),
      ['openTasks'],
    );
    const usage = await db
      .selectFrom('owner_usage')
      .select('bytes')
      .where('owner', '=', caller.owner)
      .execute();
    assert.ok(Number(usage[0]?.bytes) > 0);
  });

  test('have no due times while they are paused', async () => {
    const caller = newCaller();
    await putSchedule(db, caller, newSchedule(), 0);
    await makeDue(caller.owner, 2);
    await setPaused(db, caller, 'hourly', true);
    assert.equal((await fire()).examined, 0);
    const resumed = await setPaused(db, caller, 'hourly', false);
    assert.ok(resumed!.nextAt!.getTime() > Date.now());
    assert.equal((await fire()).examined, 0);
    assert.deepEqual(await listHistory(caller.owner), []);
  });

  test('keep their next due time if they are replaced with the same times', async () => {
    const caller = newCaller();
    const rhythm = { everySeconds: 600 };
    await putSchedule(db, caller, newSchedule({ rhythm }), 0);
    const due = await makeDue(caller.owner, 0);
    const same = await putSchedule(db, caller, newSchedule({ rhythm, overlap: 'queue' }), 0);
    const other = await putSchedule(db, caller, newSchedule({ rhythm: { everySeconds: 60 } }), 0);
    assert.ok(same.kind === 'stored' && !same.created && other.kind === 'stored');
    assert.deepEqual(same.schedule.nextAt, due);
    assert.ok(other.schedule.nextAt!.getTime() > Date.now());
    assert.equal(other.schedule.key, same.schedule.key);
  });

  test('belong to one caller', async () => {
    const [ada, eve] = [newCaller(), newCaller()];
    await putSchedule(db, ada, newSchedule(), 1);
    for (const other of [eve, { ...ada, tenant: 't' }]) {
      assert.equal(await getSchedule(db, other, 'hourly'), undefined);
      assert.deepEqual((await listSchedules(db, other, { size: 10, after: '' })).schedules, []);
      assert.equal(await setPaused(db, other, 'hourly', true), undefined);
      assert.equal(await listFirings(db, other, 'hourly', { size: 1, before: undefined }), undefined);
      assert.equal(await deleteSchedule(db, other, 'hourly'), false);
    }
    // The limit counts all tenants of the owner.
    const second = await putSchedule(db, { ...ada, tenant: 't' }, newSchedule(), 1);
    assert.deepEqual(second, { kind: 'too_many', used: 1 });
    assert.equal((await putSchedule(db, ada, newSchedule(), 1)).kind, 'stored');
    assert.equal(await deleteSchedule(db, ada, 'hourly'), true);
    assert.equal(await getSchedule(db, ada, 'hourly'), undefined);
  });

  test('start tasks with the current agent, its deadline, and the webhook', async () => {
    const caller = newCaller();
    const webhook = newWebhook({ token: 'secret' });
    await putSchedule(
      db,
      caller,
      newSchedule({ toWebhook: (key) => encryptSecrets(encryptor, key, webhook) }),
      0,
    );
    await makeDue(caller.owner, 0);
    await storeAgent(db, 'second', { limits: {} });
    await storeAgent(db, 'first', { limits: { taskSeconds: 600 } });
    // A process without the keys leaves it to others.
    assert.equal((await fire({ copyWebhook: undefined })).examined, 0);
    const { wakeups } = await fire();
    assert.deepEqual(wakeups.map(({ kind }) => kind).toSorted(), ['delivery', 'turn']);
    const [task] = await listTasks(caller.owner);
    const stored = await db
      .selectFrom('tasks as t')
      .innerJoin('webhook_configs as c', 'c.task_id', 't.id')
      .innerJoin('gates as g', 'g.task_id', 't.id')
      .select(['t.agent_hash', 'c.token', 'c.id', 'g.deadline_at', 't.created_at'])
      .where('t.id', '=', task!.id)
      .executeTakeFirstOrThrow();
    assert.equal(stored.agent_hash, 'first');
    const secrets = { id: stored.id, token: stored.token, authCredentials: null, signingSecret: null };
    assert.equal(decryptSecrets(encryptor, task!.id, secrets).token, 'secret');
    const ms = stored.deadline_at!.getTime() - stored.created_at.getTime();
    assert.ok(Math.abs(ms - 600_000) < 2_000, `${ms} ms`);
  });

  test('of others do not wait for one whose webhook cannot be decrypted', async () => {
    const [broken, whole] = [newCaller(), newCaller()];
    await putSchedule(db, broken, newSchedule({ toWebhook: () => newWebhook({ token: 'nonsense' }) }), 0);
    await putSchedule(db, whole, newSchedule(), 0);
    for (const { owner } of [broken, whole]) await makeDue(owner, 0);
    const { started, failed } = await fire();
    assert.deepEqual([started, failed.map(({ owner }) => owner)], [1, [broken.owner]]);
    assert.equal((await fire()).examined, 0);
    await deleteSchedule(db, broken, 'hourly');
  });

  test('let the loop sleep until the next one is due', async () => {
    const caller = newCaller();
    await sql`update schedules set wakeup_at = null`.execute(db);
    assert.equal(await readNextWakeup(db, { copyWebhook }), undefined);
    await putSchedule(db, caller, newSchedule({ rhythm: { everySeconds: 60 } }), 0);
    const parts = {
      db,
      outbox: { publish: () => undefined, publishAll: async () => undefined, idle: async () => undefined },
      getLimits: async () => noLimits,
      encryptor,
      wakeupGraceSeconds: 10,
      log: createLogger('test', 'silent'),
    };
    const waitMs = (await runSchedules(parts)) ?? assert.fail('no schedule is known');
    assert.ok(waitMs > 0 && waitMs <= 60_000);
    await makeDue(caller.owner, 0);
    // The clock of this process may be a few milliseconds behind.
    while ((await runSchedules(parts)) !== 0);
    assert.equal((await listTasks(caller.owner)).length, 1);
  });
});
