/** Calls and batches of the Batch API in the database: collected once, ended once, counted once. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sql } from 'kysely';
import {
  addBatchCall,
  listOpenCalls,
  readBatchCall,
  readBatchRequests,
} from '#shared/db/models/batch-calls.ts';
import {
  claimBatches,
  createBatches,
  recordBatchName,
  reportBatch,
  splitBatch,
  type DueBatch,
} from '#shared/db/models/batches.ts';
import { removeOverCalls } from '#shared/db/models/over-batch-calls.ts';
import { storeBatchResults } from '#shared/db/models/batch-results.ts';
import { readLedger } from '#shared/db/models/ledger.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { deleteTasks } from '#shared/db/tasks/retention.ts';
import { createTurnWriter, type NewStep } from '#shared/db/turns/write.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';
import { claimTask, createClaimedTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { wakeupGraceSeconds: 10 };
const write = createTurnWriter(db, options);
const step = (name: string, position: number): Omit<NewStep, 'output'> => ({
  name,
  occurrence: 0,
  position,
  inputHash: null,
});
const release = { kind: 'release', delaySeconds: 600, countAttempt: false, signals: 0, error: null } as const;
const tokens = { prompt: 3, cached: 0, tool: 0, thoughts: 0, output: 4 };
const usage: ModelUsage = { model: 'm', tokens, cost: 2 };

type Call = Awaited<ReturnType<typeof addCall>>;

/** A turn that is suspended, and its call. */
async function addCall(
  agentHash: string,
  more: { owner?: string; deadlineAt?: string; collectSeconds?: number } = {},
) {
  const { collectSeconds = 0, ...task } = more;
  const { lease } = await createClaimedTask(db, { agentHash, ...task });
  const token = uuidv7();
  const wait = { wait: { kind: 'model' } as const, dueInSeconds: 600, token };
  await write({ lease, steps: [{ ...step('batch-wait', 0), output: null, wait }] });
  const add = () => addBatchCall(db, { token, model: 'm', request: '{"contents":[]}', collectSeconds });
  const added = await add();
  await write({ lease, finish: release });
  return { lease, taskId: lease.taskId, token, added, add };
}

/** Batches of other tests are claimed too, and left alone. */
async function claim(agentHash: string): Promise<DueBatch[]> {
  const { rows } = await sql<{ id: string }>`select id from batches where agent_hash = ${agentHash}`.execute(
    db,
  );
  const own = new Set(rows.map(({ id }) => id));
  return (await claimBatches(db, 1000)).filter(({ id }) => own.has(id));
}

async function collect(agentHash: string): Promise<DueBatch> {
  await createBatches(db);
  const [batch, ...others] = await claim(agentHash);
  assert.ok(batch);
  assert.deepEqual(others, []);
  return batch;
}

const endAll = async (batchId: string, more: { usage?: ModelUsage } = {}) => {
  const ids = await listOpenCalls(db, batchId);
  return storeBatchResults(
    db,
    options,
    ids.map((id) => ({ id, result: `{"response":{"id":"${id}"}}`, usage: more.usage })),
  );
};

async function countCalls(owner: string): Promise<number> {
  const [line] = await readLedger(db, ['owner'], { since: '2000-01-01', until: '2999-01-01', owner });
  return line?.calls ?? 0;
}

const readTokens = async () =>
  new Set((await db.selectFrom('batch_calls').select('token').execute()).map(({ token }) => token));

describe('calls of one definition', () => {
  test('of many owners are in one batch, whichever worker collects them', async () => {
    const hash = uuidv7();
    const calls = await Promise.all(['ada', 'bob', 'cyd'].map((owner) => addCall(hash, { owner })));
    await addCall(uuidv7());
    assert.deepEqual(await Promise.all(calls.map((call) => call.add())), [true, true, true]);
    await Promise.all(Array.from({ length: 4 }, () => createBatches(db)));
    const [batch, ...others] = await claim(hash);
    assert.deepEqual(others, []);
    assert.deepEqual([batch!.mayExist, batch!.isAwaited, batch!.name], [false, true, null]);
    assert.equal((await readBatchRequests(db, batch!.id)).length, 3);
    assert.deepEqual(await claim(hash), [], 'claimed by one worker');
  });

  test('wait for each other as long as the definition says', async () => {
    const hash = uuidv7();
    await addCall(hash, { collectSeconds: 60 });
    await createBatches(db);
    assert.deepEqual(await claim(hash), []);
    await addCall(hash);
    const { id } = await collect(hash);
    assert.equal((await readBatchRequests(db, id)).length, 2);
  });

  test('follow in a second batch while the first is sent', async () => {
    const hash = uuidv7();
    await addCall(hash);
    const { id } = await collect(hash);
    await addCall(hash);
    const second = await collect(hash);
    assert.notEqual(second.id, id);
  });

  test('are left out if their deadline may pass before', async () => {
    const soon = await addCall(uuidv7(), { deadlineAt: new Date(Date.now() + 3_600_000).toISOString() });
    const late = await addCall(uuidv7(), { deadlineAt: new Date(Date.now() + 2 * 86_400_000).toISOString() });
    assert.deepEqual([soon.added, late.added], [false, true]);
    assert.equal(await readBatchCall(db, soon.token), undefined);
  });

  test('stay in their batch although their deadline comes nearer', async () => {
    const call = await addCall(uuidv7(), { deadlineAt: new Date(Date.now() + 2 * 86_400_000).toISOString() });
    await sql`update gates set deadline_at = now() + interval '1 hour' where task_id = ${call.taskId}`.execute(
      db,
    );
    assert.equal(await call.add(), true);
  });

  test('are halved, the older ones first', async () => {
    const hash = uuidv7();
    for (let made = 0; made < 3; made += 1) await addCall(hash);
    const { id } = await collect(hash);
    const before = await listOpenCalls(db, id);
    await splitBatch(db, id);
    const halves = await claim(hash);
    assert.deepEqual(
      halves.map(({ mayExist }) => mayExist),
      [true, true],
    );
    const left = await listOpenCalls(db, id);
    const other = halves.find((half) => half.id !== id)!;
    assert.deepEqual([...left, ...(await listOpenCalls(db, other.id))], before);
    assert.equal(left.length, 1);
  });
});

describe('a call in a batch', () => {
  const create = async (): Promise<{ call: Call; batch: DueBatch; owner: string }> => {
    const [hash, owner] = [uuidv7(), uuidv7()];
    const call = await addCall(hash, { owner });
    return { call, batch: await collect(hash), owner };
  };

  test('wakes its turn when it ends, once', async () => {
    const { call, batch } = await create();
    assert.equal((await readBatchCall(db, call.token))!.result, null);
    const [id = ''] = await listOpenCalls(db, batch.id);
    const store = (result: string) => storeBatchResults(db, options, [{ id, result, usage: undefined }]);
    const woken = await store('{"first":1}');
    assert.deepEqual(
      woken.map((wakeup) => wakeup.kind === 'turn' && wakeup.taskId),
      [call.taskId],
    );
    assert.deepEqual(await store('{"second":2}'), []);
    assert.deepEqual((await readBatchCall(db, call.token))!.result, { first: 1 });
  });

  test('is taken out when its task is canceled before it is sent', async () => {
    const hash = uuidv7();
    const [canceled, other] = [await addCall(hash), await addCall(hash)];
    await cancelTask(db, options, canceled.taskId);
    const { id } = await collect(hash);
    assert.equal((await readBatchRequests(db, id)).length, 1);
    await removeOverCalls(db, 10_000);
    const left = await readTokens();
    assert.deepEqual([left.has(canceled.token), left.has(other.token)], [false, true]);
    const { rows } = await sql`
      select output from steps where token = ${canceled.token} and finished_at is not null`.execute(db);
    assert.deepEqual(rows, [{ output: { status: 'canceled' } }]);
  });

  test('is counted for its owner if its task was canceled meanwhile, once', async () => {
    const { call, batch, owner } = await create();
    await cancelTask(db, options, call.taskId);
    await removeOverCalls(db, 10_000);
    assert.equal((await readTokens()).has(call.token), true, 'its batch has not ended');
    assert.deepEqual(await endAll(batch.id, { usage }), []);
    await Promise.all([removeOverCalls(db, 10_000), removeOverCalls(db, 10_000)]);
    assert.equal(await countCalls(owner), 1);
    assert.equal((await readTokens()).has(call.token), false);
  });

  test('is counted by its turn alone, once its reply is recorded', async () => {
    const { call, batch, owner } = await create();
    await endAll(batch.id, { usage });
    await removeOverCalls(db, 10_000);
    assert.equal((await readTokens()).has(call.token), true, 'its turn has not read it');
    const { lease } = await claimTask(db, call.taskId);
    await write({ lease, steps: [{ ...step('model', 1), output: '{}', usage }] });
    await removeOverCalls(db, 10_000);
    assert.equal((await readTokens()).has(call.token), false);
    assert.equal(await countCalls(owner), 1);
  });

  test('is removed with its task', async () => {
    const { call, batch } = await create();
    await deleteTasks(db, [call.taskId]);
    assert.equal((await readTokens()).has(call.token), false);
    await sql`update batches set due_at = now() where id = ${batch.id}`.execute(db);
    const [again] = (await claimBatches(db, 1000)).filter(({ id }) => id === batch.id);
    assert.deepEqual([again!.mayExist, again!.isAwaited], [true, false]);
  });

  test('has its batch polled at once when a webhook reports it', async () => {
    const { batch } = await create();
    assert.equal(await reportBatch(db, batch.token), true);
    const isDue = async () => (await claimBatches(db, 1000)).some(({ id }) => id === batch.id);
    assert.equal(await isDue(), false, 'it is being created');
    await recordBatchName(db, batch.id, 'batches/1');
    await recordBatchName(db, batch.id, 'batches/2');
    assert.equal(await reportBatch(db, batch.token), true);
    const [again] = (await claimBatches(db, 1000)).filter(({ id }) => id === batch.id);
    assert.equal(again!.name, 'batches/1');
    assert.equal(await reportBatch(db, 'unknown'), false);
  });
});
