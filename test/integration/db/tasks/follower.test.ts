/** Streams whose events are large: a follower holds a part of them, and yields all. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Client } from 'pg';
import type { Db } from '#shared/db/client/pool.ts';
import { createFollower, type Follower } from '#shared/db/events/follower.ts';
import { eventsChannel } from '#shared/db/events/fan-out.ts';
import { createEventHints } from '#shared/db/events/hints.ts';
import { readLogPosition, tailEvents } from '#shared/db/events/read.ts';
import { createTurnWriter, type NewEvent } from '#shared/db/turns/write.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { createClaimedTask, createStatePayload } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

describe('follower', () => {
  const cleanup = createSuiteCleanup();
  let db: Db;
  let url: string;
  let follower: Follower;
  before(async () => {
    const database = await connectToTestDatabase();
    ({ db, url } = database);
    const log = createLogger('test', 'silent');
    const hints = createEventHints({ url: database.url }, eventsChannel, log);
    follower = createFollower({ db, hints, log, pollMs: 10 });
    cleanup.after(() => Promise.all([follower.close(), hints.close()]));
  });

  function createEvents(taskId: string, count: number, bytes: number): NewEvent[] {
    const artifact = { artifactId: 'a', parts: [{ text: 'x'.repeat(bytes) }] };
    const payload = JSON.stringify({ artifactUpdate: { taskId, contextId: 'c', artifact } });
    return Array.from({ length: count }, () => ({
      kind: 'artifact',
      payload,
      artifact: { artifactId: 'a' },
    }));
  }

  for (const [name, sets, count, bytes] of [
    ['large events of one transaction', 1, 20, 500_000],
    ['large events of many transactions', 20, 1, 500_000],
    ['many small events', 1, 1_000, 10],
  ] as const) {
    test(`yields ${name} in order to a reader that starts late`, async () => {
      const { lease } = await createClaimedTask(db);
      const stop = new AbortController();
      const events = follower.follow(lease.taskId, 2, stop.signal);
      const write = createTurnWriter(db, { wakeupGraceSeconds: 10 });
      const next = events.next();
      for (let set = 0; set < sets; set++) {
        await write({ lease, events: createEvents(lease.taskId, count, bytes) });
      }
      const seen = [(await next).value?.seq];
      for await (const event of events) {
        seen.push(event.seq);
        if (seen.length === sets * count) break;
      }
      stop.abort();
      assert.deepEqual(
        seen,
        Array.from({ length: sets * count }, (_, index) => index + 3),
      );
    });
  }

  test('is not woken by steps, which change no event', async (t) => {
    const listener = new Client({ connectionString: url });
    await listener.connect();
    t.after(() => listener.end());
    let notified = 0;
    listener.on('notification', () => (notified += 1));
    const { lease } = await createClaimedTask(db);
    await listener.query(`listen ${eventsChannel}`);
    const write = createTurnWriter(db, { wakeupGraceSeconds: 10 });
    const step = { name: 'model', occurrence: 0, position: 0, inputHash: null, output: '1' };
    await write({ lease, steps: [step] });
    await write({ lease, events: createEvents(lease.taskId, 1, 10) });
    // Notifications arrive before the answer to a later statement of their connection.
    await listener.query('select 1');
    assert.equal(notified, 1);
  });

  test('reads each event once while another transaction stays open', async () => {
    const [{ lease }, other] = await Promise.all([createClaimedTask(db), createClaimedTask(db)]);
    const lateId = other.lease.taskId;
    const write = createTurnWriter(db, { wakeupGraceSeconds: 10 });
    let position = await readLogPosition(db);
    const readNew = async () => {
      const { events, next } = await tailEvents(db, position, [lease.taskId, lateId]);
      position = next;
      return events.map(({ taskId, seq }) => [taskId, seq]);
    };
    await db.transaction().execute(async (open) => {
      const payload = createStatePayload({ taskId: lateId, contextId: 'c' }, 'TASK_STATE_WORKING');
      await open.insertInto('events').values({ task_id: lateId, seq: 3, kind: 'state', payload }).execute();
      for (const seq of [3, 4, 5]) {
        await write({ lease, events: createEvents(lease.taskId, 1, 10) });
        assert.deepEqual(await readNew(), [[lease.taskId, seq]]);
      }
      assert.deepEqual(await readNew(), []);
    });
    assert.deepEqual(await readNew(), [[lateId, 3]]);
    assert.deepEqual(await readNew(), []);
  });
});
