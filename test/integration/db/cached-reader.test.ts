/** Reading for clients that poll: what is held is given again while the task is as it was, and to nobody else. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, test } from 'node:test';
import type { Pool } from 'pg';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { createCachedReader } from '#shared/db/tasks/cached-reader.ts';
import { readTaskSnapshot } from '#shared/db/tasks/read.ts';
import { createTurnWriter, type TurnWrite } from '#shared/db/turns/write.ts';
import { addUsage, noUsage } from '#shared/domain/usage.ts';
import { caller, newTask } from '../../support/database/new-task.ts';
import { beforeStop, testDatabase, type TestDatabase } from '../../support/database/postgres.ts';

const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 };
const errorMessage = (text: string) =>
  JSON.stringify({ messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] });

let database: TestDatabase;
let db: Db;
let pool: Pool;
before(async () => {
  database = await testDatabase();
  ({ db, pool } = openDatabase({
    url: database.url,
    poolSize: 8,
    applicationName: 'test',
    onError: () => undefined,
  }));
});
beforeStop(async () => {
  await pool.end();
  await database.close();
});

test('a task is read as it is after whatever happens to it, and held in between', async () => {
  const read = createCachedReader(db);
  const task = newTask();
  await createAccept(db, options)(task);
  const { taskId } = task;
  const statusAt = new Date().toISOString();
  const write = createTurnWriter(db, options);
  const followUp = {
    taskId,
    requestHash: 'r',
    message: errorMessage('more'),
    acceptedOutputModes: null,
    workingEvent: '{}',
    statusAt,
  };
  const chunk = (append: boolean, content: string) =>
    JSON.stringify({
      artifactUpdate: {
        taskId,
        contextId: 'c',
        append,
        artifact: { artifactId: 'a', parts: [{ text: content }] },
      },
    });
  const usage = { model: 'm', tokens: noUsage.tokens };
  const turn = async (more: Omit<TurnWrite, 'lease'>) => void (await write({ lease: await lease, ...more }));
  let lease: Promise<TurnWrite['lease']>;
  const changes: (() => Promise<unknown>)[] = [
    () => {
      const claim = createClaim(db, { worker: 'w', leaseSeconds: 30, wakeupGraceSeconds: 10 });
      lease = claim(taskId).then((claimed) => {
        if (claimed.kind !== 'claimed') assert.fail(claimed.kind);
        return claimed.lease;
      });
      return lease;
    },
    () =>
      turn({ events: [{ kind: 'artifact', payload: chunk(false, 'one'), artifact: { artifactId: 'a' } }] }),
    () =>
      turn({ events: [{ kind: 'artifact', payload: chunk(true, 'two'), artifact: { artifactId: 'a' } }] }),
    () => turn({ events: [{ kind: 'progress', payload: '{}', statusMessage: errorMessage('so far') }] }),
    () =>
      turn({
        steps: [{ name: 's', occurrence: 0, position: 0, inputHash: null, output: '1', usage }],
        taskUsage: addUsage(noUsage, usage),
      }),
    () =>
      acceptFollowUp(db, options, {
        ...followUp,
        ...caller,
        messageId: randomUUID(),
        shown: true,
        traceparent: null,
      }),
    () =>
      turn({
        finish: {
          kind: 'end',
          state: 'TASK_STATE_COMPLETED',
          payload: '{}',
          payloadIfContinued: '{}',
          statusAt,
          message: null,
          direct: false,
          error: null,
        },
      }),
    () => cancelTask(db, options, { taskId, event: '{}', statusAt }),
  ];
  let before = await read(caller, taskId);
  for (const change of changes) {
    await change();
    const now = await read(caller, taskId);
    assert.notDeepEqual(now?.task, before?.task, String(change));
    assert.deepEqual(now, await readTaskSnapshot(db, caller, taskId));
    assert.equal(await read(caller, taskId), now, 'held');
    assert.notEqual(await read(caller, taskId, { historyLength: 0 }), now, 'another view of it');
    before = now;
  }
  for (const other of [
    { ...caller, owner: 'bob' },
    { ...caller, tenant: 'blue' },
  ]) {
    assert.equal(await read(other, taskId), undefined);
  }
  await pool.query('delete from gates');
  assert.equal(await read(caller, taskId), undefined, 'removed');
});

test('a large task is not held', async () => {
  const read = createCachedReader(db);
  const task = newTask({ message: errorMessage('x'.repeat(20_000)) });
  await createAccept(db, options)(task);
  const first = await read(caller, task.taskId);
  const second = await read(caller, task.taskId);
  assert.notEqual(first, second);
  assert.deepEqual(first, second);
});
