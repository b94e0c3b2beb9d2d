/**
 * Conditional reads and long polls: when a task counts as unchanged, and when a waiting request is answered.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createAccept } from '#shared/db/tasks/accept.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { createFollower, type Follower } from '#shared/db/events/follower.ts';
import { eventsChannel } from '#shared/db/events/fan-out.ts';
import { createEventHints } from '#shared/db/events/hints.ts';
import { createVersionReader, readTaskSnapshot, type ReadTaskVersion } from '#shared/db/tasks/read.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { ownScopes } from '#shared/domain/scopes.ts';
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
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { newTask, newFollowUp } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';

test('compares entity tags as HTTP defines', () => {
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

test('reads the wait preference among others and bounds it', () => {
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

describe('conditional reads', () => {
  const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 };
  const caller = { tenant: 'red', owner: 'ada' };
  const user = { isAuthenticated: true, userName: 'ada', scopes: ownScopes };
  const streams = new OpenStreams({ all: 10, perCaller: 1 });

  const cleanup = createSuiteCleanup();
  let db: Db;
  let follower: Follower;
  let readVersion: ReadTaskVersion;
  before(async () => {
    const connections = await connectToTestDatabase();
    db = connections.db;
    const log = createLogger('test', 'silent');
    const hints = createEventHints({ url: connections.url }, eventsChannel, log);
    follower = createFollower({ db, hints, log });
    cleanup.after(() => Promise.all([follower.close(), hints.close()]));
    readVersion = createVersionReader(db);
  });

  async function createTask(): Promise<string> {
    const task = newTask(caller);
    await createAccept(db, options)(task);
    return task.taskId;
  }

  function cancel(taskId: string): Promise<unknown> {
    return cancelTask(db, options, taskId);
  }

  async function readEntityTag(taskId: string): Promise<string> {
    const snapshot = await readTaskSnapshot(db, caller, taskId);
    assert.ok(snapshot);
    return toEntityTag(taskId, snapshot);
  }

  function check(taskId: string, ifNoneMatch: string | undefined, more: object = {}): Promise<Condition> {
    const controller = () => new AbortController();
    return checkCondition(
      { readVersion, follower, streams },
      { caller, user, taskId, ifNoneMatch, prefer: undefined, controller, ...more },
    );
  }

  test('reports a task as unchanged until it has a new event or message', async () => {
    const taskId = await createTask();
    const first = await readEntityTag(taskId);
    assert.deepEqual(await check(taskId, first), { notModified: true, headers: { etag: first } });
    assert.deepEqual(await check(taskId, undefined), { notModified: false, headers: {} });
    assert.deepEqual(await check(taskId, '"other"'), { notModified: false, headers: {} });

    const accepted = await acceptFollowUp(db, options, newFollowUp(taskId, caller));
    assert.equal(accepted.kind, 'accepted');
    assert.equal((await check(taskId, first)).notModified, false, 'the history has a new message');

    const second = await readEntityTag(taskId);
    await cancel(taskId);
    assert.equal((await check(taskId, second)).notModified, false);
    assert.equal((await check(taskId, await readEntityTag(taskId))).notModified, true);
  });

  test('never reports a task of another caller as unchanged', async () => {
    const taskId = await createTask();
    const tag = await readEntityTag(taskId);
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

  test('answers a waiting request as soon as the task changes', async () => {
    const taskId = await createTask();
    const waiting = check(taskId, await readEntityTag(taskId), { prefer: 'wait=30' });
    assert.equal(await Promise.race([waiting, readVersion(caller, taskId).then(() => 'waits')]), 'waits');
    const startedAt = performance.now();
    await cancel(taskId);
    assert.deepEqual(await waiting, { notModified: false, headers: { 'preference-applied': 'wait=30' } });
    assert.ok(performance.now() - startedAt < 20_000);
  });

  test('answers "not modified" when the wait is over', async () => {
    const taskId = await createTask();
    const etag = await readEntityTag(taskId);
    const waited = { notModified: true, headers: { 'preference-applied': 'wait=1', etag } };
    const startedAt = performance.now();
    assert.deepEqual(await check(taskId, etag, { prefer: 'wait=1' }), waited);
    assert.ok(performance.now() - startedAt >= 990);
  });

  test('stops waiting when the client disconnects', async () => {
    const taskId = await createTask();
    const etag = await readEntityTag(taskId);
    const aborted = new AbortController();
    aborted.abort();
    const condition = await check(taskId, etag, { prefer: 'wait=60', controller: () => aborted });
    assert.equal(condition.notModified, true);
  });

  test('does not wait for a task that has ended, changed or never existed', async () => {
    const taskId = await createTask();
    const first = await readEntityTag(taskId);
    await cancel(taskId);
    assert.equal((await check(taskId, first, { prefer: 'wait=60' })).notModified, false);
    assert.equal((await check(taskId, await readEntityTag(taskId), { prefer: 'wait=60' })).notModified, true);
    assert.equal((await check(uuidv7(), '*', { prefer: 'wait=60' })).notModified, false);
  });

  test('counts waiting requests as open streams', async () => {
    const taskId = await createTask();
    const etag = await readEntityTag(taskId);
    const close = streams.open(user, () => undefined);
    await assert.rejects(check(taskId, etag, { prefer: 'wait=60' }), TooManyRequestsError);
    close();
    close();
    assert.equal((await check(taskId, etag, { prefer: 'wait=0' })).notModified, true);
    streams.open(user, () => undefined)();
  });
});
