/** Events that wait behind a failed attempt are merged. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { readDeliveries, waitForDeliveries } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const { db } = await connectToTestDatabase();

describe('coalescing', () => {
  for (const events of ['all', 'state'] as const) {
    test(
      events === 'all' ? 'merges chunks and progress while a config waits' : 'merges no changes of state',
      { timeout: 60_000 },
      async (t) => {
        const receiver = await startReceiver(t);
        const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.05, 0.05, 0.05] });
        const gate = Promise.withResolvers<void>();
        receiver.answerBy(async () => {
          if (receiver.received.length > 1) return 200;
          await gate.promise;
          return 500;
        });
        const task = await startTask(db, outbox, webhookTo(receiver.url, { events }));
        await receiver.count(1);
        await task.claim(); // 2
        await task.artifact({ artifactId: 'a', name: 'answer', parts: [{ text: 'one ' }] }); // 3
        await task.progress(3); // 4, 5, 6
        await task.artifact({ artifactId: 'a', parts: [{ text: 'two ' }] }, { append: true }); // 7
        await task.artifact({ artifactId: 'b', parts: [{ text: 'bee' }] }); // 8
        await task.artifact({ artifactId: 'a', parts: [{ text: 'three' }] }, { append: true }); // 9
        await task.end('TASK_STATE_COMPLETED'); // 10
        gate.resolve();
        await waitForDeliveries(db, task.taskId);
        if (events === 'state') {
          assert.deepEqual(receiver.events(), [1, 1, 2, 10]);
          return;
        }
        assert.deepEqual(receiver.events(), [1, 1, 2, 6, 8, 9, 10]);
        assert.deepEqual(
          (await readDeliveries(db, task.taskId)).map(({ seq, state, merged_from: from }) => [
            seq,
            state,
            from,
          ]),
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
      },
    );
  }
});
