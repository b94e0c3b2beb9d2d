/** Polling that costs little: when a task counts as unchanged, and what a request that waits is answered, and when. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { openDatabase } from '#shared/db/client/pool.ts';
import { acceptFollowUp, cancelTask } from '#shared/db/tasks/follow-up.ts';
import { createFollower } from '#shared/db/events/follower.ts';
import { readTask, createVersionReader } from '#shared/db/tasks/read.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { createLogger } from '#shared/runtime/log.ts';
import {
  checkCondition,
  toEntityTag,
  matchesEntityTag,
  parseWaitPreference,
  type Condition,
} from '#services/api/http/conditional.ts';
import { TooManyRequestsError } from '#services/api/handler/errors.ts';
import { OpenStreams } from '#services/api/limits/open-streams.ts';
import { testDatabase } from '../../support/database/postgres.ts';

test('entity tags are compared as HTTP says', () => {
  for (const [header, matches] of [
    ['"a-1.1"', true],
    ['W/"a-1.1"', true],
    ['"x", "a-1.1"', true],
    [' * ', true],
    ['"a-1.2"', false],
    ['a-1.1', false],
    ['', false],
  ] as const) {
    assert.equal(matchesEntityTag(header, '"a-1.1"'), matches, header);
  }
});

test('a preference to wait is read among others, and is bounded', () => {
  for (const [header, seconds] of [
    ['wait=30', 30],
    ['respond-async, wait=10', 10],
    ['wait = "5"; foo=bar', 5],
    [['return=minimal', 'wait=7'], 7],
    ['wait=600', 60],
    ['wait=0', 0],
    ['wait', undefined],
    ['wait=soon', undefined],
    ['await=3', undefined],
    [undefined, undefined],
  ] as [string | string[] | undefined, number | undefined][]) {
    assert.equal(parseWaitPreference(header), seconds, String(header));
  }
});

test('conditional reads', async (t) => {
  const database = await testDatabase();
  const { db, pool } = openDatabase({
    url: database.url,
    poolSize: 8,
    applicationName: 'test',
    onError: () => undefined,
  });
  const follower = createFollower({ db, database, log: createLogger('test', 'silent') });
  t.after(async () => {
    await follower.close();
    await pool.end();
    await database.close();
  });
  const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 };
  const caller = { tenant: 'red', owner: 'ada' };
  const user = { isAuthenticated: true, userName: 'ada' };
  const streams = new OpenStreams({ all: 10, perCaller: 1 });
  const message = JSON.stringify({ messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'hello' }] });
  const event = '{"statusUpdate":{"status":{"state":"TASK_STATE_SUBMITTED"}}}';

  async function newTask(): Promise<string> {
    const taskId = uuidv7();
    await createAccept(
      db,
      options,
    )({
      ...caller,
      taskId,
      contextId: 'c',
      agentHash: 'h',
      messageId: randomUUID(),
      requestHash: 'r',
      message,
      metadata: null,
      acceptedOutputModes: null,
      event,
      statusAt: new Date().toISOString(),
      shown: true,
      traceparent: null,
      startAt: null,
      deadlineAt: null,
      webhook: null,
    });
    return taskId;
  }

  const readVersion = createVersionReader(db);

  const cancel = (taskId: string) =>
    cancelTask(db, options, {
      taskId,
      event: '{"statusUpdate":{"status":{"state":"TASK_STATE_CANCELED"}}}',
      statusAt: new Date().toISOString(),
    });

  async function tagOf(taskId: string): Promise<string> {
    const snapshot = await readTask(db, caller, taskId);
    assert.ok(snapshot);
    return toEntityTag(taskId, snapshot);
  }

  function check(taskId: string, ifNoneMatch: string | undefined, more: object = {}): Promise<Condition> {
    const signal = () => new AbortController().signal;
    return checkCondition(
      { readVersion, follower, streams },
      { caller, user, taskId, ifNoneMatch, prefer: undefined, signal, ...more },
    );
  }

  await t.test('a task is unchanged until it has an event, or a message more', async () => {
    const taskId = await newTask();
    const first = await tagOf(taskId);
    assert.deepEqual(await check(taskId, first), { notModified: true, headers: { etag: first } });
    assert.deepEqual(await check(taskId, undefined), { notModified: false, headers: {} });
    assert.deepEqual(await check(taskId, '"other"'), { notModified: false, headers: {} });

    const followUp = {
      taskId,
      messageId: randomUUID(),
      requestHash: 'r',
      message,
      acceptedOutputModes: null,
    };
    const at = { workingEvent: event, statusAt: new Date().toISOString(), shown: true, traceparent: null };
    const accepted = await acceptFollowUp(db, options, { ...caller, ...followUp, ...at });
    assert.equal(accepted.kind, 'accepted');
    assert.equal((await check(taskId, first)).notModified, false, 'the history has a message more');

    const second = await tagOf(taskId);
    await cancel(taskId);
    assert.equal((await check(taskId, second)).notModified, false);
    assert.equal((await check(taskId, await tagOf(taskId))).notModified, true);
  });

  await t.test('to others it is not even unchanged', async () => {
    const taskId = await newTask();
    const tag = await tagOf(taskId);
    for (const other of [
      { ...caller, owner: 'bob' },
      { ...caller, tenant: 'blue' },
    ]) {
      assert.equal(await readVersion(other, taskId), undefined);
      assert.deepEqual(await check(taskId, tag, { caller: other }), { notModified: false, headers: {} });
      assert.equal((await check(taskId, '*', { caller: other })).notModified, false);
    }
    assert.equal((await check('no-uuid', '*')).notModified, false);
  });

  await t.test('a request that waits is answered as soon as the task has changed', async () => {
    const taskId = await newTask();
    const waiting = check(taskId, await tagOf(taskId), { prefer: 'wait=30' });
    assert.equal(await Promise.race([waiting, readVersion(caller, taskId).then(() => 'waits')]), 'waits');
    const began = performance.now();
    await cancel(taskId);
    assert.deepEqual(await waiting, { notModified: false, headers: { 'preference-applied': 'wait=30' } });
    assert.ok(performance.now() - began < 20_000);
  });

  await t.test('it is answered "not modified" when the time is over, or the client has gone', async () => {
    const taskId = await newTask();
    const etag = await tagOf(taskId);
    const waited = { notModified: true, headers: { 'preference-applied': 'wait=1', etag } };
    const began = performance.now();
    assert.deepEqual(await check(taskId, etag, { prefer: 'wait=1' }), waited);
    assert.ok(performance.now() - began >= 990);
    const gone = AbortSignal.abort();
    assert.equal((await check(taskId, etag, { prefer: 'wait=60', signal: () => gone })).notModified, true);
  });

  await t.test('it does not wait for what cannot come, or has come already', async () => {
    const taskId = await newTask();
    const first = await tagOf(taskId);
    await cancel(taskId);
    assert.equal((await check(taskId, first, { prefer: 'wait=60' })).notModified, false);
    assert.equal((await check(taskId, await tagOf(taskId), { prefer: 'wait=60' })).notModified, true);
    assert.equal((await check(uuidv7(), '*', { prefer: 'wait=60' })).notModified, false);
  });

  await t.test('requests that wait count as open streams', async () => {
    const taskId = await newTask();
    const etag = await tagOf(taskId);
    const close = streams.open(user);
    await assert.rejects(check(taskId, etag, { prefer: 'wait=60' }), TooManyRequestsError);
    close();
    close();
    assert.equal((await check(taskId, etag, { prefer: 'wait=0' })).notModified, true);
    streams.open(user)();
  });
});
