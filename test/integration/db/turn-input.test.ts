/** The input of turns: what a claim reads with the lease, and what is read alone, within bounds. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, beforeEach, describe, test } from 'node:test';
import type { Pool } from 'pg';
import type { Db } from '#shared/db/client/pool.ts';
import { createClaim, type Claimed } from '#shared/db/turns/claim.ts';
import { createInputReader, type TurnHistory, type TurnInput } from '#shared/db/turns/input/input.ts';
import { createTurnWriter, type NewStep, type WriteTurn } from '#shared/db/turns/write.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { textOf } from '#shared/domain/message.ts';
import {
  claimTask,
  createClaimedTask,
  newFollowUp,
  newMessage,
  newTurnEnd,
} from '../../support/database/new-task.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { observeLargePieces } from '../../support/large-pieces.ts';

const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 };
const memory = { maxBytes: 200_000_000, take: async () => undefined };
const recordBytes = 1_000_000;

describe('the input of a turn', () => {
  let db: Db;
  let pool: Pool;
  let write: WriteTurn;
  let contextId: string;
  before(async () => {
    ({ db, pool } = await connectToTestDatabase());
    write = createTurnWriter(db, options);
  });
  beforeEach(() => {
    contextId = randomUUID();
  });

  const read = (claimed: Claimed, more: Partial<typeof memory> = {}): Promise<TurnInput> =>
    createInputReader(db, { recordBytes })(claimed, { ...memory, ...more });
  const readHistory = async (
    claimed: Claimed,
    more: Partial<typeof memory> = {},
    maxTurns = 500,
  ): Promise<TurnHistory> => (await read(claimed, more)).readHistory(maxTurns);
  const readText = async (claimed: Claimed, maxTurns?: number): Promise<string[]> =>
    toTexts(await readHistory(claimed, {}, maxTurns));
  const toTexts = ({ exchanges }: TurnHistory): string[] =>
    exchanges.map(({ message }) => textOf(message.parts));
  const newStep = (position: number, output: string): NewStep => ({
    name: 'step',
    occurrence: position,
    position,
    inputHash: null,
    output: JSON.stringify(output),
  });

  /** Completes tasks of the context, one after the other. */
  async function complete(...texts: string[]): Promise<void> {
    for (const text of texts) {
      const { lease } = await createClaimedTask(db, { contextId, message: newMessage(text) });
      const message = JSON.stringify({ messageId: 'a', role: 'ROLE_AGENT', parts: [{ text: `re ${text}` }] });
      await write({ lease, finish: newTurnEnd(lease.taskId, 'TASK_STATE_COMPLETED', { message }) });
    }
  }

  test('is read with the claim if it is small, without the history', async () => {
    await complete('one', 'two');
    const claimed = await createClaimedTask(db, { contextId, metadata: '{"a":1}' });
    assert.ok(claimed.content);
    assert.deepEqual([(await read(claimed)).metadata, claimed.hasHistory], [{ a: 1 }, true]);
    const { exchanges, complete: whole } = await readHistory(claimed);
    assert.deepEqual(
      exchanges.map(({ message, answer }) => [textOf(message.parts), textOf(answer?.parts ?? [])]),
      [
        ['one', 're one'],
        ['two', 're two'],
      ],
    );
    assert.ok(whole);
  });

  test('is the same if it is read alone', async () => {
    const claimed = await createClaimedTask(db, { contextId, metadata: '{"a":1}' });
    const alone = await read({ ...claimed, content: undefined });
    const { readHistory, readSteps, readStoredReply, readEarlierCall } = alone;
    assert.deepEqual(alone, {
      ...(await read(claimed)),
      readHistory,
      readSteps,
      readStoredReply,
      readEarlierCall,
    });
  });

  test('has a history of as many turns as the agent asks for', async () => {
    await complete('one', 'two', 'three');
    const claimed = await createClaimedTask(db, { contextId });
    assert.deepEqual(await readText(claimed, 2), ['two', 'three']);
    assert.equal((await readHistory(claimed, {}, 2)).complete, false);
    assert.equal((await readHistory(claimed, {}, 3)).complete, true);
    assert.deepEqual(await readHistory(claimed, {}, 0), {
      exchanges: [],
      complete: false,
      steps: [],
      references: [],
    });
  });

  test('has no history in a new context', async () => {
    const claimed = await createClaimedTask(db, { contextId });
    assert.equal(claimed.hasHistory, false);
    assert.deepEqual([await readText(claimed), (await readHistory(claimed)).complete], [[], true]);
  });

  test('has a history after the first turn of the task that opened its context', async () => {
    const opened = await createClaimedTask(db, { contextId, opensContext: true, message: newMessage('one') });
    assert.equal(opened.hasHistory, false);
    const { taskId } = opened.lease;
    await acceptFollowUp(db, options, newFollowUp(taskId));
    await write({ lease: opened.lease, finish: newTurnEnd(taskId, 'TASK_STATE_COMPLETED') });
    assert.deepEqual(await readText(await claimTask(db, taskId)), ['one']);
    assert.deepEqual(await readText(await createClaimedTask(db, { contextId })), ['one', 'more']);
  });

  test('contains steps of earlier turns in the context by name, of the same owner', async () => {
    const record = async (text: string, owner = 'ada'): Promise<string> => {
      const { lease } = await createClaimedTask(db, { contextId, owner });
      const other = { ...newStep(1, text), name: 'other', occurrence: 0 };
      await write({ lease, steps: [newStep(0, text), other] });
      await write({ lease, finish: newTurnEnd(lease.taskId, 'TASK_STATE_COMPLETED') });
      return lease.taskId;
    };
    const ids = [await record('one'), await record('two')];
    await record('of another owner', 'bob');
    await complete('without a step');
    const { readSteps } = await read(await createClaimedTask(db, { contextId }));
    const turns = await readSteps(['step', 'none'], 10);
    assert.deepEqual(
      turns.map(({ taskId, steps }) => [ids.indexOf(taskId), steps.map(({ output }) => output)]),
      [
        [-1, []],
        [1, ['two']],
        [0, ['one']],
      ],
    );
    assert.equal((await readSteps(['step'], 2)).length, 2);
    const { readSteps: readFew } = await read(await createClaimedTask(db, { contextId }), { maxBytes: 4 });
    assert.ok((await readFew(['step'], 10)).length < 4, 'what needs more memory than there is was left out');
  });

  test('contains no message of another owner in a context of the same name', async () => {
    await complete('secret');
    const claimed = await createClaimedTask(db, { contextId, owner: 'eve' });
    assert.deepEqual(await readText(claimed), []);
    assert.deepEqual(await readText({ ...claimed, hasHistory: true }), []);
  });

  test('is left to a statement of its own if it is large', async () => {
    const text = 'x'.repeat(100_000);
    const claimed = await createClaimedTask(db, { contextId, message: newMessage(text) });
    assert.equal(claimed.content, undefined);
    assert.equal(textOf((await read(claimed)).message.parts), text);
  });

  test('is left to a statement of its own after an attempt without a result', async () => {
    const { lease } = await createClaimedTask(db, { contextId });
    await pool.query(`update gates set lease_until = now() - interval '1 s' where task_id = $1`, [
      lease.taskId,
    ]);
    const claimed = await claimTask(db, lease.taskId);
    assert.deepEqual([claimed.content, claimed.attempts, claimed.crashed], [undefined, 2, true]);
  });

  test('is not read once the attempts are used up', async () => {
    const { lease } = await createClaimedTask(db, { contextId });
    await write({
      lease,
      finish: { kind: 'release', delaySeconds: 0, countAttempt: true, error: 'no luck' },
    });
    const claim = createClaim(db, { worker: 'w', leaseSeconds: 30, wakeupGraceSeconds: 10, maxAttempts: 1 });
    const claimed = await claim(lease.taskId);
    assert.ok(claimed.kind === 'claimed');
    assert.deepEqual([claimed.content, claimed.crashed, claimed.lastError], [undefined, false, 'no luck']);
  });

  test('keeps the newest part of the history, and reports that the rest is missing', async () => {
    const nineMiB = 'x'.repeat(9 * 1024 * 1024);
    await complete('dropped', `${nineMiB}1`, `${nineMiB.slice(0, 6 * 1024 * 1024)}2`, 'newest');
    const history = await readHistory(await createClaimedTask(db, { contextId }));
    assert.deepEqual(
      toTexts(history).map((text) => text.slice(-6)),
      ['xxxxx2', 'newest'],
    );
    assert.equal(history.complete, false);
  });

  test('keeps a quarter of the memory for the history once it is parsed', async () => {
    const data = JSON.stringify({
      messageId: 'm',
      parts: [{ data: Array.from({ length: 50_000 }, () => ({})) }],
    });
    for (const message of [data, newMessage('newest')]) {
      const { lease } = await createClaimedTask(db, { contextId, message });
      await write({ lease, finish: newTurnEnd(lease.taskId, 'TASK_STATE_COMPLETED') });
    }
    const taken: number[] = [];
    const history = await readHistory(await createClaimedTask(db, { contextId }), {
      maxBytes: 4_000_000,
      take: async (bytes?: number) => void taken.push(bytes ?? 0),
    });
    assert.deepEqual([toTexts(history), history.complete], [['newest'], false]);
    assert.ok(Math.max(...taken) < 1_000_000, `${taken.join()} bytes`);
  });

  test('fails the task if its message needs more memory than the worker has', async () => {
    const data = JSON.stringify({
      messageId: 'm',
      parts: [{ data: Array.from({ length: 50_000 }, () => ({})) }],
    });
    const claimed = await createClaimedTask(db, { contextId, message: data });
    await assert.rejects(read(claimed, { maxBytes: 2_000_000 }), (error: Error) => {
      assert.ok(error instanceof FatalError);
      assert.match(error.message, /needs about \d+ bytes of memory .* at most 2000000/);
      return true;
    });
  });

  test('is parsed once, in its turn, if it is large', async (t) => {
    // With a line break, which is escaped, it is copied out of the JSON.
    const text = `${'x'.repeat(100_000)}\n`;
    const { content, ...claimed } = await createClaimedTask(db, { message: newMessage(text, randomUUID()) });
    assert.equal(content, undefined);
    const { started } = observeLargePieces(t);
    const parse = t.mock.method(JSON, 'parse');
    const input = await createInputReader(db, { recordBytes })({ ...claimed, content }, memory);
    assert.equal(textOf(input.message.parts), text);
    assert.equal(parse.mock.calls.filter((call) => call.arguments[0].length > 100_000).length, 1);
    // To estimate its memory, to parse it, and before the agent gets it.
    assert.deepEqual(started, Array(3).fill(claimed.task.owner));
  });

  test('contains a record of many pages, in order', async () => {
    const { lease } = await createClaimedTask(db, { contextId });
    const outputs = Array.from({ length: 9 }, (_, index) => String(index).repeat(3 * 1024 * 1024));
    for (const [index, output] of outputs.entries()) await write({ lease, steps: [newStep(index, output)] });
    await write({ lease, finish: { kind: 'release', delaySeconds: 0, countAttempt: false, error: null } });
    const claimed = await claimTask(db, lease.taskId);
    assert.equal(claimed.content, undefined);
    const input = await createInputReader(db, { recordBytes: 64 * 1024 * 1024 })(claimed, memory);
    assert.ok(input.steps.every(({ output }, index) => output === outputs[index]));
    assert.equal(input.steps.length, outputs.length);
    await assert.rejects(read(claimed), /recorded \d+ bytes: at most 1000000 can be read/);
  });

  test('contains the records of earlier turns as far as they fit, the newest ones', async () => {
    const { lease } = await createClaimedTask(db, { contextId });
    let current = lease;
    for (const turn of [1, 2, 3]) {
      await write({ lease: current, steps: [newStep(0, `${turn}`.repeat(450_000))] });
      await write({ lease: current, finish: newTurnEnd(lease.taskId, 'TASK_STATE_INPUT_REQUIRED') });
      await acceptFollowUp(db, options, newFollowUp(lease.taskId));
      ({ lease: current } = await claimTask(db, lease.taskId));
    }
    const task = await createClaimedTask(db, { contextId });
    const claimed: Claimed = { ...task, lease: current, content: undefined, hasHistory: true };
    const { exchanges, steps, complete } = await readHistory(claimed);
    assert.deepEqual([exchanges.length, steps.map(({ turn }) => turn), complete], [3, [2, 3], false]);
  });

  test('leaves out records of earlier turns that need more memory than the worker has', async () => {
    const { lease } = await createClaimedTask(db, { contextId });
    const output = JSON.stringify(Array.from({ length: 50_000 }, () => ({})));
    await write({ lease, steps: [{ ...newStep(0, ''), output }] });
    await write({ lease, finish: newTurnEnd(lease.taskId, 'TASK_STATE_INPUT_REQUIRED') });
    await acceptFollowUp(db, options, newFollowUp(lease.taskId));
    const claimed = { ...(await claimTask(db, lease.taskId)), content: undefined };
    await write({ lease: claimed.lease, steps: [newStep(0, 'own')] });
    const input = await read(claimed, { maxBytes: 2_000_000 });
    const { steps, complete } = await input.readHistory(500);
    assert.deepEqual([input.steps.map((step) => step.output), steps, complete], [['own'], [], false]);
    assert.equal((await readHistory(claimed)).steps.length, 1);
  });

  test('leaves out the content of a referenced task that is too large', async () => {
    const { lease } = await createClaimedTask(db, { message: newMessage('x'.repeat(5_000_000)) });
    const small = await createClaimedTask(db, { message: newMessage('small') });
    const message = JSON.stringify({
      messageId: 'm',
      role: 'ROLE_USER',
      parts: [],
      referenceTaskIds: [lease.taskId, small.lease.taskId],
    });
    const { references } = await read(await createClaimedTask(db, { message }));
    assert.deepEqual(
      references.map(({ messages, complete, state }) => [messages.length, complete, state]),
      [
        [0, false, 'TASK_STATE_WORKING'],
        [1, true, 'TASK_STATE_WORKING'],
      ],
    );
  });
});
