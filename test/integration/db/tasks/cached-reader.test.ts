/**
 * Reads for clients that poll: a cached task is returned while the task is unchanged, and only to its owner.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Db } from '#shared/db/client/pool.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { createCachedReader } from '#shared/db/tasks/cached-reader.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { readTaskSnapshot } from '#shared/db/tasks/read.ts';
import { createTurnWriter, type TurnWrite } from '#shared/db/turns/write.ts';
import { addUsage, noUsage } from '#shared/domain/usage.ts';
import {
  caller,
  claimTask,
  newFollowUp,
  newMessage,
  newTask,
  newTurnEnd,
} from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 };

describe('cached reader', () => {
  let db: Db;
  before(async () => {
    ({ db } = await connectToTestDatabase());
  });

  async function acceptTask(more: Parameters<typeof newTask>[0] = {}) {
    const task = newTask(more);
    await createAccept(db, options)(task);
    return task;
  }

  test('returns every change, and the cached task in between', async () => {
    const read = createCachedReader(db);
    const { taskId, contextId } = await acceptTask();
    const writeTurn = createTurnWriter(db, options);
    let lease: TurnWrite['lease'];
    const write = (turnWrite: Omit<TurnWrite, 'lease'>) => writeTurn({ lease, ...turnWrite });
    const writeChunk = (append: boolean, text: string) => {
      const artifact = { artifactId: 'a', parts: [{ text }] };
      const payload = JSON.stringify({ artifactUpdate: { taskId, contextId, append, artifact } });
      return write({ events: [{ kind: 'artifact', payload, artifact: { artifactId: 'a' } }] });
    };
    const usage = { model: 'm', tokens: noUsage.tokens };
    const changes: Record<string, () => Promise<unknown>> = {
      claim: async () => ({ lease } = await claimTask(db, taskId)),
      'first chunk': () => writeChunk(false, 'one'),
      'second chunk': () => writeChunk(true, 'two'),
      progress: () =>
        write({ events: [{ kind: 'progress', payload: '{}', statusMessage: newMessage('so far') }] }),
      step: () =>
        write({
          steps: [{ name: 's', occurrence: 0, position: 0, inputHash: null, output: '1', usage }],
          taskUsage: addUsage(noUsage, usage),
        }),
      'further message': () => acceptFollowUp(db, options, newFollowUp(taskId)),
      end: () => write({ finish: newTurnEnd(taskId, 'TASK_STATE_COMPLETED') }),
      cancel: () => cancelTask(db, options, taskId),
    };
    let previous = await read(caller, taskId);
    for (const [name, change] of Object.entries(changes)) {
      await change();
      const now = await read(caller, taskId);
      assert.notDeepEqual(now?.task, previous?.task, name);
      assert.deepEqual(now, await readTaskSnapshot(db, caller, taskId));
      assert.equal(await read(caller, taskId), now, `${name}: cached`);
      assert.notEqual(await read(caller, taskId, { historyLength: 0 }), now, `${name}: other options`);
      previous = now;
    }
  });

  for (const [kind, other] of [
    ['owner', { ...caller, owner: 'bob' }],
    ['tenant', { ...caller, tenant: 'blue' }],
  ] as const) {
    test(`returns no cached task to another ${kind}`, async () => {
      const read = createCachedReader(db);
      const { taskId } = await acceptTask();
      assert.ok(await read(caller, taskId));
      assert.equal(await read(other, taskId), undefined);
    });
  }

  test('returns no cached task after it was removed', async () => {
    const read = createCachedReader(db);
    const { taskId } = await acceptTask();
    assert.ok(await read(caller, taskId));
    await db.deleteFrom('gates').where('task_id', '=', taskId).execute();
    assert.equal(await read(caller, taskId), undefined);
  });

  test('does not cache a large task', async () => {
    const read = createCachedReader(db);
    const { taskId } = await acceptTask({ message: newMessage('x'.repeat(20_000)) });
    const first = await read(caller, taskId);
    const second = await read(caller, taskId);
    assert.notEqual(first, second);
    assert.deepEqual(first, second);
  });
});
