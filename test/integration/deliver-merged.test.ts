/** What waits behind a failed attempt becomes less. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Db } from '#shared/db/database.ts';
import {
  openTestDatabase,
  startDispatchers,
  startReceiver,
  startTask,
  until,
  webhookTo,
} from '../support/webhooks.ts';

let db: Db;
before(async () => {
  db = await openTestDatabase();
});

for (const events of ['all', 'state'] as const) {
  test(`while a config waits, chunks and progress merge (${events})`, { timeout: 20_000 }, async (t) => {
    const receiver = await startReceiver(t);
    const { ringer } = await startDispatchers(t, db, 1, { schedule: [0, 0.05, 0.05, 0.05] });
    const gate = Promise.withResolvers<void>();
    receiver.answers(async () => {
      if (receiver.received.length > 1) return 200;
      await gate.promise;
      return 500;
    });
    const task = await startTask(db, ringer, webhookTo(receiver.url, { events }));
    await receiver.got(1);
    await task.claim(); // 2
    await task.artifact({ artifactId: 'a', name: 'answer', parts: [{ text: 'one ' }] }); // 3
    await task.progress(3); // 4, 5, 6
    await task.artifact({ artifactId: 'a', parts: [{ text: 'two ' }] }, { append: true }); // 7
    await task.artifact({ artifactId: 'b', parts: [{ text: 'bee' }] }); // 8
    await task.artifact({ artifactId: 'a', parts: [{ text: 'three' }] }, { append: true }); // 9
    await task.end('TASK_STATE_COMPLETED'); // 10
    gate.resolve();
    const rows = () =>
      db
        .selectFrom('deliveries')
        .select(['seq', 'state', 'merged_from'])
        .where('task_id', '=', task.taskId)
        .orderBy('seq')
        .execute();
    await until(async () => (await rows()).every(({ state }) => state !== 'pending'));
    if (events === 'state') {
      assert.deepEqual(receiver.events(), [1, 1, 2, 10]);
      return;
    }
    assert.deepEqual(receiver.events(), [1, 1, 2, 6, 8, 9, 10]);
    assert.deepEqual(
      (await rows()).map(({ seq, state, merged_from: from }) => [seq, state, from]),
      [
        [1, 'delivered', null],
        [2, 'delivered', null],
        [3, 'merged', null],
        [4, 'merged', null],
        [5, 'merged', null],
        [6, 'delivered', 4],
        [7, 'merged', null],
        [8, 'delivered', null],
        [9, 'delivered', 3],
        [10, 'delivered', null],
      ],
    );
    const [, , , progress, , chunk] = receiver.received;
    assert.equal(progress!.headers['longhaul-merged-from'], '4');
    assert.equal(chunk!.headers['longhaul-merged-from'], '3');
    const { artifactUpdate } = JSON.parse(chunk!.body);
    assert.equal(artifactUpdate.append, false);
    assert.deepEqual(artifactUpdate.artifact, {
      artifactId: 'a',
      name: 'answer',
      parts: [{ text: 'one two three' }],
    });
  });
}
