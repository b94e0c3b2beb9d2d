/** Encrypted calls of the Batch API: neither their requests nor their replies are stored in clear. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { useContentKeys } from '#shared/db/contents/codec.ts';
import {
  addBatchCall,
  listOpenCalls,
  readBatchCall,
  readBatchRequests,
} from '#shared/db/models/batch-calls.ts';
import { storeBatchResults } from '#shared/db/models/batch-results.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import {
  createContentKey,
  encryptContents,
  searchTables,
  watchWrites,
} from '../../support/database/contents.ts';
import { claimTask, newTask } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';

const marker = 'marker-of-a-batch';
const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
after(() => useContentKeys(undefined));

test('encrypted calls are in no table, and one without its key is left out', async () => {
  const { db } = await connectToTestDatabase();
  const keys = createContentKey();
  encryptContents(db, keys);
  const countWritten = await watchWrites(db);
  const add = async (owner: string): Promise<string> => {
    const task = newTask({ owner });
    await createAccept(db, options)(task);
    const { lease } = await claimTask(db, task.taskId);
    const token = task.taskId;
    const wait = { wait: { kind: 'model' } as const, dueInSeconds: 60, token };
    const step = { name: 'batch-wait', occurrence: 0, position: 0, inputHash: null, output: null, wait };
    await createTurnWriter(db, options)({ lease, steps: [step] });
    const request = JSON.stringify({ contents: [marker] });
    assert.ok(await addBatchCall(db, { token, model: 'm', request, collectSeconds: 0 }));
    return token;
  };
  const tokens = [await add('key:ada'), await add('key:gone')];
  const batch = randomUUID();
  await db.updateTable('batch_calls').set({ batch_id: batch }).where('token', 'in', tokens).execute();
  assert.deepEqual(await searchTables(db, marker), []);
  const requests = await readBatchRequests(db, batch);
  const expected = { contents: [marker] };
  assert.deepEqual(
    requests.map(({ request }) => request),
    [expected, expected],
  );
  await db.deleteFrom('content_keys').where('owner', '=', 'key:gone').execute();
  encryptContents(db, keys);
  assert.deepEqual(await readBatchRequests(db, batch), requests.slice(0, 1));
  const ids = await listOpenCalls(db, batch);
  const result = JSON.stringify({ response: marker });
  await storeBatchResults(
    db,
    options,
    ids.map((id) => ({ id, result, usage: undefined })),
  );
  assert.deepEqual(await searchTables(db, marker), []);
  assert.deepEqual((await readBatchCall(db, tokens[0]!))?.result, { response: marker });
  assert.equal(await countWritten(marker), 0);
});
