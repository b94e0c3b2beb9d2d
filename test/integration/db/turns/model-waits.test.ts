/** Calls of the model at Google: a report of a webhook wakes its turn, and an abandoned call is found. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sql } from 'kysely';
import { readArtifactParts } from '#shared/db/tasks/content.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { answerCallback, readCallback } from '#shared/db/turns/waits/callbacks.ts';
import {
  claimStoredCalls,
  forgetStoredCall,
  listUndeletedCalls,
  recordUndeleted,
  type StoredCall,
} from '#shared/db/models/stored-calls.ts';
import { readStoredReply } from '#shared/db/models/stored-replies.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import { deleteTasksOfOwner } from '#shared/db/tasks/retention.ts';
import {
  closeModelWait,
  readAbandonedModelWaits,
  reportModelCall,
} from '#shared/db/turns/waits/model-waits.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { createClaimedTask, newTurnEnd } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { wakeupGraceSeconds: 10 };
const write = createTurnWriter(db, options);
const identity = { name: 'interaction-wait', occurrence: 0, position: 0, inputHash: null };
const release = { kind: 'release', delaySeconds: 60, countAttempt: false, signals: 0, error: null } as const;

async function createWait(dueInSeconds: number) {
  const claimed = await createClaimedTask(db);
  const token = uuidv7();
  const wait = { wait: { kind: 'model' } as const, dueInSeconds, token };
  await write({ lease: claimed.lease, steps: [{ ...identity, output: null, wait }] });
  const poll = (seconds: number) =>
    write({
      lease: claimed.lease,
      steps: [{ ...identity, output: null, wait: { ...wait, dueInSeconds: seconds } }],
    });
  return { claimed, lease: claimed.lease, token, poll };
}

async function readWait({ lease }: Awaited<ReturnType<typeof createWait>>) {
  const { rows } = await sql<{ wait: unknown; dueInSeconds: number }>`
    select wait, extract(epoch from due_at - now())::float8 as "dueInSeconds" from steps
    where task_id = ${lease.taskId} and name = ${identity.name}`.execute(db);
  return rows[0]!;
}

/** Returns those of the calls that will be deleted at Google. */
async function findStoredCalls(...interactions: string[]): Promise<string[]> {
  const stored = db.selectFrom('stored_calls').select('interaction').where('interaction', 'in', interactions);
  return (await stored.execute()).map(({ interaction }) => interaction);
}

describe('a call at Google', () => {
  test('has one record, which is due again after each poll', async () => {
    const call = await createWait(2);
    await call.poll(40);
    const { wait, dueInSeconds } = await readWait(call);
    assert.deepEqual(wait, { kind: 'model' });
    assert.ok(dueInSeconds > 30, `${dueInSeconds}`);
  });

  test('wakes its turn when it is reported, as often as it is reported', async () => {
    const call = await createWait(60);
    const { lease, token } = call;
    await write({ lease, finish: release });
    const woken = await reportModelCall(db, options, { token, interaction: 'i-1' });
    assert.deepEqual(
      woken?.map(({ taskId }) => taskId),
      [lease.taskId],
    );
    assert.notEqual(await reportModelCall(db, options, { token, interaction: 'i-1' }), undefined);
    assert.deepEqual((await readWait(call)).wait, { kind: 'model', interaction: 'i-1' });
  });

  test('is found reported although the turn polled at the same time', async () => {
    const call = await createWait(0);
    const { lease, token, poll } = call;
    assert.deepEqual(
      await reportModelCall(db, options, { token, interaction: 'i-1' }),
      [],
      'its worker polls',
    );
    await poll(30);
    const { wakeups } = await write({ lease, finish: release });
    assert.equal(wakeups.length, 1);
    assert.deepEqual((await readWait(call)).wait, { kind: 'model', interaction: 'i-1' });
  });

  test('keeps its cursor and its report, whichever comes first', async () => {
    const calls = await Promise.all([createWait(60), createWait(60)]);
    for (const [index, { lease, token }] of calls.entries()) {
      const report = () => reportModelCall(db, options, { token, interaction: 'i-1' });
      const cursor = { event: 'e-7', chars: 3 };
      const wait = { wait: { kind: 'model' as const, cursor }, dueInSeconds: 5, token };
      if (index === 0) await report();
      await write({ lease, steps: [{ ...identity, output: null, wait }] });
      if (index === 1) await report();
      await write({
        lease,
        steps: [{ ...identity, output: null, wait: { ...wait, wait: { kind: 'model' } } }],
      });
      const { wait: stored } = await readWait(calls[index]!);
      assert.deepEqual(stored, { kind: 'model', cursor, interaction: 'i-1' });
    }
  });

  test('counts what is stored of its stream as progress, so that crashes do not add up', async () => {
    const { lease, token } = await createWait(60);
    await db.updateTable('gates').set({ attempts: 4 }).where('task_id', '=', lease.taskId).execute();
    const wait = {
      wait: { kind: 'model' as const, cursor: { event: 'e', chars: 1 } },
      dueInSeconds: 5,
      token,
    };
    await write({ lease, steps: [{ ...identity, output: null, wait }] });
    const { attempts } = await db
      .selectFrom('gates')
      .select('attempts')
      .where('task_id', '=', lease.taskId)
      .executeTakeFirstOrThrow();
    assert.equal(attempts, 1);
  });

  test('has the parts of its artifact read back with all chunks', async () => {
    const { lease } = await createWait(60);
    const chunk = (text: string, append: boolean, whole?: string) => {
      const artifact = { artifactId: 'a', parts: [{ text }] };
      const update = { taskId: lease.taskId, contextId: 'c', artifact, append };
      return {
        kind: 'artifact' as const,
        payload: JSON.stringify({ artifactUpdate: update }),
        artifact: { artifactId: 'a', ...(whole !== undefined && { whole }) },
      };
    };
    const whole = JSON.stringify({ artifactId: 'a', parts: [{ text: 'one two ' }] });
    await write({ lease, events: [chunk('old', false), chunk('one ', false)] });
    await write({ lease, events: [chunk('two ', true, whole)] });
    await write({ lease, events: [chunk('three\u0000', true)] });
    assert.deepEqual(await readArtifactParts(db, lease.taskId, 'a'), [{ text: 'one two three\u0000' }]);
    assert.equal(await readArtifactParts(db, lease.taskId, 'b'), undefined);
  });

  test('is reported without effect once it has ended, and refused with an unknown token', async () => {
    const { lease, token } = await createWait(60);
    await write({ lease, steps: [{ ...identity, output: '{"status":"ended"}' }] });
    assert.deepEqual(await reportModelCall(db, options, { token, interaction: 'i-1' }), []);
    assert.equal(await reportModelCall(db, options, { token: 'other', interaction: 'i-1' }), undefined);
  });

  test('is deleted at Google if it is reported after another one has ended its wait', async () => {
    const { lease, token } = await createWait(60);
    const created = { ...identity, name: 'interaction', position: 1, output: '{"id":"v1_used"}' };
    await write({ lease, steps: [created, { ...identity, output: '{"status":"ended"}' }] });
    for (const interaction of ['v1_used', 'v1_lost', 'v1_lost']) {
      assert.deepEqual(await reportModelCall(db, options, { token, interaction }), []);
    }
    assert.deepEqual(await findStoredCalls('v1_used', 'v1_lost'), ['v1_lost']);
  });

  test('is deleted at Google if its task ends before its record', async () => {
    const { lease, token } = await createWait(0);
    await reportModelCall(db, options, { token, interaction: 'v1_unrecorded' });
    await cancelTask(db, options, lease.taskId);
    const found = (await readAbandonedModelWaits(db)).find(({ taskId }) => taskId === lease.taskId);
    await closeModelWait(db, found!, undefined);
    assert.deepEqual(await findStoredCalls('v1_unrecorded'), ['v1_unrecorded']);
  });

  test('that completed its task is found by its turn, with what it knows', async () => {
    await storeAgent(db, 'h', { model: { name: 'gemini-3.8-flash' } });
    const { lease } = await createWait(60);
    const { taskId, turn } = lease;
    const steps = ['"interaction":"v1_first"', '"base":7,"interaction":"v1_last"'].map((end, occurrence) => ({
      ...identity,
      name: 'model',
      occurrence,
      position: occurrence + 1,
      output: `{"content":"\\u0000",${end}}`,
    }));
    await write({ lease, steps });
    assert.equal(await readStoredReply(db, { taskId, turn }), undefined, 'it has not ended');
    await write({ lease, finish: newTurnEnd(taskId, 'TASK_STATE_COMPLETED') });
    const reply = { interaction: 'v1_last', model: 'gemini-3.8-flash', base: 7 };
    assert.deepEqual(await readStoredReply(db, { taskId, turn }), reply);
    assert.equal(await readStoredReply(db, { taskId, turn: 2 }), undefined);
  });

  test('cannot be answered as a callback, nor a callback be reported', async () => {
    const { lease, token } = await createWait(60);
    assert.equal(await readCallback(db, token), undefined);
    const callback = { wait: { kind: 'callback' } as const, dueInSeconds: 60, token: uuidv7() };
    await write({
      lease,
      steps: [{ ...identity, name: 'callback', position: 1, output: null, wait: callback }],
    });
    assert.equal(await reportModelCall(db, options, { token: callback.token, interaction: 'i' }), undefined);
    assert.deepEqual(
      await answerCallback(db, options, { token: callback.token, result: '{"status":"answered"}' }),
      [],
    );
  });

  test('is remembered for deletion at Google when its task is removed', async () => {
    const owner = uuidv7();
    const claimed = await createClaimedTask(db, { owner });
    const { lease } = claimed;
    const reply = (id: string) =>
      JSON.stringify({ content: { text: '\u0000"interaction":"no"}' }, interaction: id });
    const steps = [
      { name: 'interaction', output: '{"id":"v1_running"}' },
      { name: 'interaction', output: '{"failed":{"kind":"outage"},"id":"v1_no"}' },
      { name: 'model', output: reply('v1_foreground') },
      { name: 'model', output: JSON.stringify({ content: 'x"interaction":"v1_no"}', ms: 3 }) },
      { name: 'other', output: '{"id":"v1_no"}' },
    ].map((step, position) => ({ ...identity, ...step, occurrence: position, position }));
    await write({ lease, steps });
    assert.equal(await deleteTasksOfOwner(db, { tenant: '', owner }, 10), 1);
    const mine = new Set(['v1_running', 'v1_foreground', 'v1_no']);
    const claim = async () => (await claimStoredCalls(db)).filter(({ interaction }) => mine.has(interaction));
    const calls = await claim();
    assert.deepEqual(calls.map(({ interaction }) => interaction).toSorted(), ['v1_foreground', 'v1_running']);
    assert.deepEqual(await claim(), [], 'another worker has them');

    const [first, second] = calls as [StoredCall, StoredCall];
    await forgetStoredCall(db, first);
    assert.equal(await recordUndeleted(db, second, 'status 403'), true);
    assert.equal(await recordUndeleted(db, { ...second, attempts: 10 }, 'status 403'), false);
    const undeleted = (await listUndeletedCalls(db, 1000)).filter(({ interaction }) => mine.has(interaction));
    assert.deepEqual(
      undeleted.map(({ interaction, error, nextAt }) => [interaction, error, nextAt]),
      [[second.interaction, 'status 403', null]],
    );
  });

  test('is abandoned when its task has ended and its poll is overdue', async () => {
    const calls = await Promise.all([createWait(0), createWait(0), createWait(60)]);
    const [canceled, running, notDue] = calls;
    const created = { ...identity, name: 'interaction', position: 1, output: '{"id":"i-7"}' };
    await write({ lease: canceled.lease, steps: [created] });
    await cancelTask(db, options, canceled.lease.taskId);
    await cancelTask(db, options, notDue.lease.taskId);
    const find = async () => {
      const ids = new Set(calls.map(({ lease }) => lease.taskId));
      return (await readAbandonedModelWaits(db)).filter(({ taskId }) => ids.has(taskId));
    };
    const [found, ...others] = await find();
    assert.deepEqual([found?.taskId, found?.interaction, others], [canceled.lease.taskId, 'i-7', []]);
    const tokens = { prompt: 7, cached: 0, tool: 0, thoughts: 0, output: 2 };
    for (let times = 0; times < 2; times += 1) {
      await closeModelWait(db, found!, { model: `abandoned-${found!.taskId}`, tokens, cost: 0.5 });
    }
    const { rows } = await sql<{ calls: number; cost: number }>`
      select calls::int, cost from ledger where model = ${`abandoned-${found!.taskId}`}`.execute(db);
    assert.deepEqual(rows, [{ calls: 1, cost: 0.5 }], 'counted once');
    assert.deepEqual(await find(), []);
    assert.ok(running);
  });
});
