/** Streams whose events are large: a follower holds a part of them, and yields all. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Db } from '#shared/db/client/pool.ts';
import { createFollower, type Follower } from '#shared/db/events/follower.ts';
import { createTurnWriter, type NewEvent } from '#shared/db/turns/write.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { createClaimedTask } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';

describe('follower', () => {
  const cleanup = createSuiteCleanup();
  let db: Db;
  let follower: Follower;
  before(async () => {
    const database = await connectToTestDatabase();
    ({ db } = database);
    const log = createLogger('test', 'silent');
    follower = createFollower({ db, database: { url: database.url }, log, pollMs: 10 });
    cleanup.after(() => follower.close());
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
});
