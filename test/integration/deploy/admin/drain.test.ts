/** `npm run admin -- drain`: the workers of other releases stop taking turns before a deploy removes them. */
import assert from 'node:assert/strict';
import { before, beforeEach, describe, test } from 'node:test';
import { sql } from 'kysely';
import type { Db } from '#shared/db/client/pool.ts';
import { takeDrainRequest } from '#shared/db/ops/workers.ts';
import { beat } from '#shared/db/turns/heartbeats.ts';
import { runAdmin } from '../../../support/clients/admin.ts';
import { createClaimedTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

describe('admin drain', () => {
  let db: Db;
  let url: string;
  before(async () => {
    ({ db, url } = await connectToTestDatabase());
  });
  beforeEach(async () => {
    for (const table of ['worker_heartbeats', 'worker_drains', 'running_versions', 'gates'] as const)
      await db.deleteFrom(table).execute();
  });

  const drain = (...args: string[]) => runAdmin({ DATABASE_URL: url }, 'drain', ...args);
  const start = async (...workers: string[]) => {
    for (const worker of workers) await beat(db, worker);
  };
  /** A turn that a worker runs. */
  const claim = async (worker: string, version: string | null = null) => {
    const { lease } = await createClaimedTask(db);
    await sql`update gates set worker = ${worker}, agent_version = ${version} where task_id = ${lease.taskId}`.execute(
      db,
    );
  };

  test('asks the workers of all other releases to stay without turns', async () => {
    await start('2.0/host:1', '1.0/host:2', 'host:3');
    await claim('1.0/host:2');
    await claim('2.0/host:1');
    const { code, output } = await drain('--keep', '2.0', '--wait', '0');
    assert.equal(code, 0, 'the deploy continues: the turns are returned when their workers end');
    assert.match(output, /^workers of other releases: 2, turns that they run: 1\. Once these workers end/);
    const asked = ['2.0/host:1', '1.0/host:2', 'host:3'].map((name) => takeDrainRequest(db, name));
    assert.deepEqual(await Promise.all(asked), [undefined, 'stay', 'stay']);
  });

  test('has nothing to wait for without workers of other releases', async () => {
    await start('2.0/host:1');
    assert.match(
      (await drain('--keep', '2.0')).output,
      /^workers of other releases: 0, turns that they run: 0$/,
    );
  });

  test('asks no worker if none of the release could take the turns', async () => {
    await start('1.0/host:2');
    const { code, output } = await drain('--keep', '2.0', '--wait', '0');
    assert.deepEqual([code, /no worker of 2\.0 runs/.test(output)], [1, true]);
    assert.equal(await takeDrainRequest(db, '1.0/host:2'), undefined);
  });

  test('keeps workers that alone can continue turns of an older version of the agent', async () => {
    await start('2.0/host:1', '1.0/host:2');
    await claim('1.0/host:2', 'one');
    await sql`insert into running_versions (version, since) values ('one', now() - interval '1 hour'), ('two', now())`.execute(
      db,
    );
    const { code, output } = await drain('--keep', '2.0', '--wait', '0');
    assert.equal(code, 1);
    assert.match(
      output,
      /turns of older versions of the agent are left \(1 of one\), .*: keep these workers/,
    );
    assert.equal(await takeDrainRequest(db, '1.0/host:2'), undefined);
  });

  test('restarts the others when a release is given up', async () => {
    await start('2.0/host:1', '1.0/host:2');
    assert.match(
      (await drain('--keep', '2.0', '--restart')).output,
      /^workers of other releases that restart: 1$/,
    );
    assert.equal(await takeDrainRequest(db, '1.0/host:2'), 'exit');
  });

  test('refuses options that are not valid', async () => {
    for (const [args, expected] of [
      [[], /expects --keep/],
      [['--keep', '2.0', '--wait', 'long'], /--wait must be a number of seconds of at least 0, not long/],
      [['--keep', '2.0', '--restart', '--wait', '1'], /--restart does not wait/],
      [['--unknown'], /--unknown/],
    ] as const) {
      const { code, output } = await drain(...args);
      assert.deepEqual([code, expected.test(output)], [1, true], output);
    }
  });
});
