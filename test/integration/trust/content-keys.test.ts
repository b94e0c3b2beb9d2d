/** The keys of encrypted contents: who destroys, replaces and misses them. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { after, before, beforeEach, describe, test } from 'node:test';
import { sql } from 'kysely';
import { isPassing } from '#shared/db/client/errors.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { checkContentKeys } from '#shared/db/contents/check.ts';
import { useContentKeys } from '#shared/db/contents/codec.ts';
import { rewrapContentKeys } from '#shared/db/contents/destroy.ts';
import { createContentKeys } from '#shared/db/contents/keys.ts';
import { createKeyParts, openContents } from '#shared/db/contents/open.ts';
import { readLogPosition, tailEvents } from '#shared/db/events/read.ts';
import { fireSchedules } from '#shared/db/schedules/fire.ts';
import { deleteSchedule, putSchedule, type ScheduleSettings } from '#shared/db/schedules/store.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import { createCachedReader } from '#shared/db/tasks/cached-reader.ts';
import { readTaskSnapshot } from '#shared/db/tasks/read.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { MasterKeyError } from '#shared/domain/errors.ts';
import { forgetCommand } from '#services/admin/forget.ts';
import {
  createContentKey,
  encryptContents,
  searchTables,
  toContentsConfig,
} from '../../support/database/contents.ts';
import { claimTask, createStatePayload, newMessage, newTask } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { noLimits } from '../../support/services/quotas.ts';
import { createTempDir } from '../../support/temp-dir.ts';

// Another than in contents.test.ts, which searches the log of the same server: this file stores it in clear too.
const marker = 'marker-of-a-key';
const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
const hourly: ScheduleSettings = {
  id: 'hourly',
  rhythm: { everySeconds: 3600 },
  overlap: 'allow',
  catchUpSeconds: 3600,
  paused: false,
  template: {
    message: { role: 'ROLE_USER', parts: [{ text: marker }] },
    metadata: null,
    acceptedOutputModes: null,
    priority: 0,
  },
  toWebhook: () => null,
};

describe('keys of contents', () => {
  let db: Db;
  const keys = createContentKey('one');
  before(async () => {
    ({ db } = await connectToTestDatabase());
  });
  beforeEach(async () => {
    await sql`delete from content_keys`.execute(db);
    encryptContents(db, keys);
  });
  after(() => useContentKeys(undefined));

  async function accept(owner: string, tenant = ''): Promise<string> {
    const task = newTask({ owner, tenant, message: newMessage(marker) });
    await createAccept(db, options)(task);
    return task.taskId;
  }

  const forget = async (args: string[], env: Record<string, string> = {}) =>
    forgetCommand.run({ db, env, args: [...args, '--yes'], print: () => undefined });

  /** Does what a run of `forget` that died has done. */
  async function retire(owner: string): Promise<void> {
    await sql`update content_keys set retired_at = now() - interval '1 minute' where owner = ${owner}`.execute(
      db,
    );
  }

  test('are destroyed with their owner, so that a backup of all tables cannot be read', async (t) => {
    const owner = 'key:bob';
    const directory = createTempDir(t);
    encryptContents(db, keys, directory);
    const taskId = await accept(owner);
    assert.equal(readdirSync(directory).length, 1);
    const tables = ['content_keys', 'tasks', 'gates', 'messages', 'events'];
    const backup = new Map<string, string>();
    for (const table of tables) {
      const { rows } = await sql<{ rows: string }>`
        select jsonb_agg(to_jsonb(r))::text as rows from ${sql.table(table)} r
        where ${owner} = to_jsonb(r) ->> 'owner' or ${taskId} = to_jsonb(r) ->> 'task_id'`.execute(db);
      backup.set(table, rows[0]!.rows);
    }
    await retire(owner);
    await assert.rejects(forget(['--owner', owner]), /set CONTENT_KEY_STORE as for the services/);
    const env = { CONTENT_ENCRYPTION_KEYS: keys, CONTENT_KEY_STORE: directory };
    assert.deepEqual(await forget(['--owner', owner], env), { tasks: 1, schedules: 0, keys: 1 });
    assert.deepEqual([await searchTables(db, owner), readdirSync(directory)], [[], []]);

    await restore(backup);
    // Another process has not cached the key.
    encryptContents(db, keys, directory);
    await assert.rejects(readTaskSnapshot(db, { tenant: '', owner }, taskId), /was destroyed/);
  });

  test('keep a process without a master key from reading and storing contents', async () => {
    const taskId = await accept('key:dave');
    const none = { keys: undefined, kmsKey: undefined, keyStore: undefined };
    const check = openContents(db, none);
    await assert.rejects(check(), { code: 'keys_lost' });
    await assert.rejects(accept('key:dave'), MasterKeyError);
    await assert.rejects(readTaskSnapshot(db, { tenant: '', owner: 'key:dave' }, taskId), MasterKeyError);
    await sql`delete from content_keys`.execute(db);
    await check();
    await accept('key:dave');
  });

  /** Inserts rows, except for their generated columns. */
  async function restore(backup: ReadonlyMap<string, string>): Promise<void> {
    for (const [table, rows] of backup) {
      const { rows: columns } = await sql<{ name: string }>`
        select column_name as name from information_schema.columns
        where table_schema = 'public' and table_name = ${table} and is_generated = 'NEVER'`.execute(db);
      const names = sql.join(columns.map(({ name }) => sql.ref(name)));
      await sql`insert into ${sql.table(table)} (${names})
        select ${names} from jsonb_populate_recordset(null::${sql.table(table)}, ${rows}::jsonb)`.execute(db);
    }
  }

  test('are replaced for what an owner sends while it is forgotten', async () => {
    const owner = 'key:carla';
    await accept(owner, 'red');
    await retire(owner);
    encryptContents(db, keys);
    const taskId = await accept(owner, 'blue');
    assert.deepEqual(await forget(['--owner', owner, '--tenant', 'red']), { tasks: 1, schedules: 0 });
    encryptContents(db, keys);
    const read = async () =>
      (await readTaskSnapshot(db, { tenant: 'blue', owner }, taskId))?.task.history.length;
    assert.equal(await read(), 1);
    await retire(owner);
    assert.deepEqual(await forget(['--owner', owner]), { tasks: 1, schedules: 0, keys: 2 });
  });

  test('are not created for tasks that were removed', async () => {
    const contents = createContentKeys(db, createKeyParts(toContentsConfig(keys))!);
    const [none, created] = await Promise.all([
      contents.getOwn('key:dan', randomUUID()),
      contents.getOwn('key:dan'),
    ]);
    assert.deepEqual([none, created?.owner], [undefined, 'key:dan']);
    assert.equal(await contents.getOwn('key:eve', randomUUID()), undefined);
    assert.deepEqual(await searchTables(db, 'key:eve'), []);
  });

  test('need their master key and their store, which can be replaced', async (t) => {
    const taskId = await accept('key:ada');
    const check = async (own: string | undefined, directory?: string) =>
      checkContentKeys(db, createKeyParts(toContentsConfig(own, directory)));
    await check(keys);
    await assert.rejects(check(undefined), /set CONTENT_ENCRYPTION_KEYS or CONTENT_KMS_KEY as before/);
    await assert.rejects(
      check(createContentKey('other')),
      /cannot be unwrapped by .*"one", which CONTENT_ENCRYPTION_KEYS does not have/,
    );
    const directory = createTempDir(t);
    const next = createContentKey('two');
    const both = createKeyParts(toContentsConfig(`${next},${keys}`, directory))!;
    assert.equal(await rewrapContentKeys(db, both), 2);
    assert.equal(readdirSync(directory).length, 2);
    await assert.rejects(check(keys, directory), /"two", which CONTENT_ENCRYPTION_KEYS does not have/);
    await assert.rejects(check(next), /set CONTENT_KEY_STORE as before/);
    await assert.rejects(check(next, createTempDir(t)), /CONTENT_KEY_STORE is another one than before/);
    await check(next, directory);
    encryptContents(db, next, directory);
    const snapshot = await readTaskSnapshot(db, { tenant: '', owner: 'key:ada' }, taskId);
    assert.equal(snapshot?.task.history.length, 1);
  });

  test('are refused to a process with another master key, even before there are contents', async () => {
    const check = async (own: string | undefined) => openContents(db, toContentsConfig(own))();
    await accept('key:ada');
    await assert.rejects(check(createContentKey('two')), /cannot be unwrapped/);
    await sql`delete from content_keys`.execute(db);
    await check(undefined);
    await check(keys);
    await assert.rejects(check(createContentKey('one')), /cannot be unwrapped/);
    await assert.rejects(check(undefined), /contents were stored encrypted/);
  });

  test('that cannot be reached delay only their owner', async () => {
    const [far, near] = ['key:far', 'key:near'];
    const [farTask, nearTask, waiting] = [await accept(far), await accept(near), await accept(far)];
    const position = await readLogPosition(db);
    for (const taskId of [farTask, nearTask]) {
      const { lease } = await claimTask(db, taskId);
      const payload = createStatePayload({ taskId, contextId: 'c' }, 'TASK_STATE_WORKING');
      await createTurnWriter(db, options)({ lease, events: [{ kind: 'progress', payload }] });
    }
    const reachAgain = loseKey(far);
    const getStatus = (results: readonly PromiseSettledResult<unknown>[]) =>
      results.map(({ status }) => status);

    const send = createAccept(db, options);
    const sent = await Promise.allSettled([far, near].map((owner) => send(newTask({ owner, tenant: '' }))));
    assert.deepEqual(getStatus(sent), ['rejected', 'fulfilled']);
    assert.ok(sent[0]?.status === 'rejected' && isPassing(sent[0].reason));
    const read = createCachedReader(db);
    const readBoth = () =>
      Promise.allSettled([
        read({ tenant: '', owner: far }, farTask),
        read({ tenant: '', owner: near }, nearTask),
      ]);
    assert.deepEqual(getStatus(await readBoth()), ['rejected', 'fulfilled']);
    const { events } = await tailEvents(db, position, [farTask, nearTask]);
    const unread = events.filter(({ payload }) => payload === null);
    assert.deepEqual([...new Set(unread.map(({ taskId }) => taskId))], [farTask]);
    assert.equal((await claimTask(db, waiting)).content, undefined);

    reachAgain();
    assert.deepEqual(getStatus(await readBoth()), ['fulfilled', 'fulfilled']);
  });

  /** Uses keys that do not reach that of an owner until the returned function is called. */
  function loseKey(lost: string): () => void {
    const parts = createKeyParts(toContentsConfig(keys))!;
    let reaches = false;
    const unwrap = async (wrapped: string, owner: string): Promise<Buffer> => {
      if (owner === lost && !reaches) throw new MasterKeyError('no answer');
      return parts.master.unwrap(wrapped, owner);
    };
    useContentKeys(createContentKeys(db, { ...parts, master: { ...parts.master, unwrap } }));
    return () => {
      reaches = true;
    };
  }

  test('that cannot be reached put off the schedules of their owner alone', async () => {
    const [far, near] = ['key:far', 'key:near'];
    await storeAgent(db, 'first', {});
    for (const owner of [far, near]) await putSchedule(db, { owner, tenant: '' }, hourly, 0);
    await sql`update schedules set next_at = now() - interval '1 minute', wakeup_at = now() - interval '1 minute'`.execute(
      db,
    );
    loseKey(far);
    const fired = await fireSchedules(db, {
      getLimits: async () => noLimits,
      copyWebhook: undefined,
      wakeupGraceSeconds: 10,
      limit: 10,
    });
    assert.deepEqual([fired.started, fired.failed.map(({ owner }) => owner)], [1, [far]]);
    assert.equal(await deleteSchedule(db, { owner: far, tenant: '' }, hourly.id), true);
  });
});
