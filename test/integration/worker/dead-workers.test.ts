/** Workers that die are noticed by their heartbeats, and those that live or stand still are not. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { sql } from 'kysely';
import { createClaim } from '#shared/db/turns/claim.ts';
import { beat, endLeasesOfDead, readHeartbeats } from '#shared/db/turns/heartbeats.ts';
import { createDeadWorkers } from '#shared/outbox/dead-workers.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createLeaseHeartbeat } from '#services/worker/turn/lease-heartbeat.ts';
import { startProcessHeartbeat } from '#services/worker/turn/process-heartbeat.ts';
import { createClaimedTask } from '../../support/database/new-task.ts';
import { connectToTestDatabase, openSingleConnection } from '../../support/database/postgres.ts';
import { waitFor } from '../../support/wait-for.ts';

const { db, pool } = await connectToTestDatabase();
const log = createLogger('test', 'silent');
const claimOptions = { worker: 'other', leaseSeconds: 30, wakeupGraceSeconds: 10, maxAttempts: 5 };

beforeEach(() => db.deleteFrom('worker_heartbeats').execute());

/** A watcher with a clock that the test sets, and the tasks that it has woken. */
function createWatcher() {
  let now = 0;
  const woken: string[] = [];
  const look = createDeadWorkers({
    db,
    outbox: {
      publish: () => undefined,
      publishAll: async (wakeups) => void woken.push(...wakeups.map(({ taskId }) => taskId)),
      idle: async () => undefined,
    },
    wakeupGraceSeconds: 10,
    log,
    now: () => now,
  });
  return {
    woken,
    look: async (afterMs: number) => {
      now += afterMs;
      await look();
    },
  };
}

/** A claimed task of a worker. */
async function createTurn(worker: string) {
  const { lease } = await createClaimedTask(db);
  await db.updateTable('gates').set({ worker }).where('task_id', '=', lease.taskId).execute();
  return lease;
}

describe('dead workers', () => {
  test('lose their leases after five seconds without a heartbeat', async () => {
    const [dead, alive] = [await createTurn('dead'), await createTurn('alive')];
    const { look, woken } = createWatcher();
    await beat(db, 'dead');
    for (let seconds = 0; seconds < 5; seconds++) {
      await beat(db, 'alive');
      await look(1_000);
      assert.deepEqual(woken, [], `after ${seconds} s`);
    }
    await beat(db, 'alive');
    await look(1_000);
    assert.deepEqual(woken, [dead.taskId]);
    const claim = createClaim(db, claimOptions);
    assert.equal((await claim(alive.taskId)).kind, 'leased');
    const claimed = await claim(dead.taskId);
    assert.ok(claimed.kind === 'claimed' && claimed.crashed);
    assert.deepEqual(
      (await readHeartbeats(db)).map(({ worker }) => worker),
      ['alive'],
    );
  });

  test('are not noticed by a process that has been standing still itself', async () => {
    await createTurn('silent');
    await beat(db, 'silent');
    const { look, woken } = createWatcher();
    for (const pause of [1_000, 2_000, 10_000, 2_000, 2_000, 4_000]) await look(pause);
    assert.deepEqual(woken, []);
  });

  test('are not noticed while no worker can beat', async () => {
    await createTurn('refused');
    await beat(db, 'refused');
    const { look, woken } = createWatcher();
    await look(1_000);
    await pool.query(`
      create function refuse() returns trigger language plpgsql as $$ begin raise 'disk full' using errcode = '53100'; end $$;
      create trigger refuse before delete on worker_heartbeats for each row execute function refuse()`);
    for (let seconds = 0; seconds < 9; seconds++) await look(1_000).catch(() => undefined);
    await pool.query('drop function refuse cascade');
    await look(1_000);
    assert.deepEqual(woken, []);
  });

  test('are not noticed in a database that is read-only', async (t) => {
    const { db: single } = await openSingleConnection(t);
    await beat(single, 'refused');
    await sql`set default_transaction_read_only = on`.execute(single);
    assert.deepEqual(await readHeartbeats(single), []);
    await sql`set default_transaction_read_only = off`.execute(single);
    assert.equal((await readHeartbeats(single)).length, 1);
  });

  test('keep their leases if they beat before these are ended', async () => {
    await createTurn('late');
    await beat(db, 'late');
    const seen = await readHeartbeats(db);
    await beat(db, 'late');
    assert.deepEqual(await endLeasesOfDead(db, 10, seen), []);
  });
});

test('a worker beats again while a beat is not answered', async (t) => {
  await beat(db, 'waiting');
  const blocker = await pool.connect();
  await blocker.query("begin; select from worker_heartbeats where worker = 'waiting' for update");
  const heartbeat = startProcessHeartbeat({ db, worker: 'waiting', log });
  t.after(async () => {
    await blocker.query('rollback');
    blocker.release();
    await heartbeat.close();
  });
  // The connections of the blocker and of two beats. A beat that is given up has none.
  await waitFor('a second beat', () => pool.totalCount - pool.idleCount === 3);
});

describe('a worker that is taken for dead', () => {
  test('confirms its leases and continues', async (t) => {
    const lease = await createTurn('paused');
    const processHeartbeat = startProcessHeartbeat({ db, worker: 'paused', log });
    const heartbeat = createLeaseHeartbeat({ db, leaseSeconds: 30, processHeartbeat, log });
    t.after(() => heartbeat.close().then(() => processHeartbeat.close()));
    const held = heartbeat.hold(lease, performance.now());
    await held.assertHeld();
    await waitFor('it to be taken for dead', async () => {
      const wakeups = await endLeasesOfDead(db, 10, await readHeartbeats(db));
      return wakeups.some(({ taskId }) => taskId === lease.taskId);
    });
    await waitFor('it to beat again', async () => (await readHeartbeats(db)).length === 1);
    await held.assertHeld();
    assert.equal((await createClaim(db, claimOptions)(lease.taskId)).kind, 'leased');
  });

  test('gives up the turns that another worker has claimed', async (t) => {
    const lease = await createTurn('paused');
    const processHeartbeat = startProcessHeartbeat({ db, worker: 'paused', log });
    const heartbeat = createLeaseHeartbeat({ db, leaseSeconds: 30, processHeartbeat, log });
    t.after(() => heartbeat.close().then(() => processHeartbeat.close()));
    const held = heartbeat.hold(lease, performance.now());
    await held.assertHeld();
    await endLeasesOfDead(db, 10, await readHeartbeats(db));
    assert.equal((await createClaim(db, claimOptions)(lease.taskId)).kind, 'claimed');
    await waitFor('the loss', () => held.lost() !== undefined);
  });
});
