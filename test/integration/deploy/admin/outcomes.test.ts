/** `npm run admin -- outcomes`: a release is judged by how its tasks end. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { sql } from 'kysely';
import type { Db } from '#shared/db/client/pool.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { readWorkerConfig } from '#shared/runtime/config/worker.ts';
import { runAdmin } from '../../../support/clients/admin.ts';
import { newTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

describe('admin outcomes', () => {
  let db: Db;
  let url: string;
  before(async () => {
    ({ db, url } = await connectToTestDatabase());
  });

  async function end(worker: string, states: string[]): Promise<void> {
    for (const state of states) {
      const task = newTask({ owner: 'key:a' });
      await createAccept(db, { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 })(task);
      await sql`update tasks set state = ${`TASK_STATE_${state}`} where id = ${task.taskId}`.execute(db);
      await sql`update gates set state_class = 2, settled_at = now(), worker = ${worker}
        where task_id = ${task.taskId}`.execute(db);
    }
  }
  const run = async (...args: string[]) => {
    const { code, output } = await runAdmin({ DATABASE_URL: url }, 'outcomes', ...args);
    return { code, output: output.trimEnd() };
  };
  const judge = (...args: string[]) => run('--candidate', '2.0', '--wait', '0', '--at-least', '4', ...args);

  test('compares the failed tasks of a candidate with those of the other releases', async () => {
    assert.match((await run()).output, /No task of a worker with WORKER_RELEASE has ended/);
    await end('1.0/host:1', ['COMPLETED', 'COMPLETED', 'COMPLETED', 'FAILED']);
    await end('host:1', ['FAILED']);
    await end('2.0/host:2', ['COMPLETED', 'COMPLETED', 'CANCELED', 'FAILED']);
    assert.deepEqual(await run(), {
      code: 0,
      output: `${'1.0'.padEnd(20)}4 ended, 1 failed\n${'2.0'.padEnd(20)}3 ended, 1 failed`,
    });
    const early = await judge();
    assert.equal(early.code, 1);
    assert.match(early.output, /2\.0 has ended 3 tasks, but 4 are needed to judge it/);
    await end('2.0/host:2', ['COMPLETED']);
    assert.equal((await judge()).code, 0);
    await end('2.0/host:3', ['FAILED']);
    const failing = await judge();
    assert.equal(failing.code, 1);
    assert.match(failing.output, /40\.0% of the tasks of 2\.0 failed, and 25\.0% of the others: roll back/);
    assert.equal((await judge('--tolerance', '20')).code, 0);
  });

  test('refuses options that are not valid', async () => {
    for (const [args, expected] of [
      [['--minutes', 'many'], /--minutes must be a number of at least 1, not many/],
      [['--unknown'], /--unknown/],
    ] as const) {
      const { code, output } = await run(...args);
      assert.deepEqual([code, expected.test(output)], [1, true], output);
    }
  });

  test('needs a release in the name of the worker', () => {
    const env = {
      DATABASE_URL: url,
      GOOGLE_CLOUD_PROJECT: 'p',
      DISPATCHER_URL: 'http://localhost:1',
      WORKER_NAME: 'host:1',
    };
    assert.equal(readWorkerConfig({ ...env, WORKER_RELEASE: '2.0' }).workerName, '2.0/host:1');
    assert.equal(readWorkerConfig(env).workerName, 'host:1');
    assert.throws(() => readWorkerConfig({ ...env, WORKER_RELEASE: 'a/b' }), /WORKER_RELEASE|invalid/i);
  });
});
