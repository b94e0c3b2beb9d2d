/** A worker reads of a conversation only what was added since it last read it, and nothing outdated. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import type { KyselyPlugin } from 'kysely';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { HistoryCache } from '#shared/db/turns/history/cache.ts';
import { createInputReader, type TurnHistory } from '#shared/db/turns/input/input.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import { textOf } from '#shared/domain/message.ts';
import { MemoryBudget } from '#services/worker/turn/memory-budget.ts';
import {
  claimTask,
  createClaimedTask,
  newFollowUp,
  newMessage,
  newTurnEnd,
} from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 };
const write = createTurnWriter(db, options);
const memory = { maxBytes: 200_000_000, take: async () => undefined };

/** A worker, and what it has read of messages, artifacts and steps since the last call of `countTexts`. */
function startWorker(cache = new HistoryCache(() => 1_000_000)) {
  let texts = 0;
  const counting: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      texts += result.rows.filter((row) => 'artifacts' in row || 'output' in row).length;
      return result;
    },
  };
  const readInput = createInputReader(db.withPlugin(counting), { recordBytes: 1_000_000, cache });
  return {
    cache,
    readHistory: async (taskId: string): Promise<TurnHistory & { lease: Lease; texts: number }> => {
      const claimed = await claimTask(db, taskId);
      const input = await readInput(claimed, memory);
      texts = 0;
      const history = await input.readHistory(500);
      return { ...history, lease: claimed.lease, texts };
    },
  };
}

const artifact = (seq: string) => ({
  kind: 'artifact' as const,
  payload: '{}',
  artifact: { artifactId: 'a', whole: JSON.stringify({ artifactId: 'a', parts: [{ text: seq }] }) },
});

/** Ends a turn with a step and an artifact, and sends the next message. */
async function endTurn(lease: Lease, text: string): Promise<void> {
  const step = { name: 's', occurrence: 0, position: 0, inputHash: null, output: JSON.stringify(text) };
  const message = JSON.stringify({ messageId: 'a', role: 'ROLE_AGENT', parts: [{ text: `re ${text}` }] });
  const finish = newTurnEnd(lease.taskId, 'TASK_STATE_INPUT_REQUIRED', { message });
  await write({ lease, events: [artifact(text)], steps: [step], finish });
  await acceptFollowUp(db, options, newFollowUp(lease.taskId, { message: newMessage(`after ${text}`) }));
}

const toTexts = ({ exchanges }: TurnHistory) =>
  exchanges.map(({ message, artifacts, answer }) =>
    [message.parts, ...artifacts.map(({ parts }) => parts), answer?.parts ?? []].map(textOf).join(', '),
  );

/** Starts a task whose first turn has ended. */
async function startConversation(contextId: string = randomUUID()): Promise<string> {
  const { lease } = await createClaimedTask(db, { contextId });
  await endTurn(lease, '1');
  return lease.taskId;
}

describe('the history of a turn', { concurrency: true }, () => {
  test('is read once by a worker that runs the turns before', async () => {
    const worker = startWorker();
    const taskId = await startConversation();
    for (const turn of [2, 3, 4]) {
      const { lease, exchanges, steps, texts } = await worker.readHistory(taskId);
      assert.deepEqual([exchanges.length, steps.length], [turn - 1, turn - 1]);
      // The artifact moves to the newest turn, so that the exchange of the turn before has changed.
      assert.equal(texts, turn === 2 ? 2 : 3);
      await endTurn(lease, String(turn));
    }
  });

  test('is the same for a worker that has read it before and one that has not', async () => {
    const [old, fresh] = [startWorker(), startWorker()];
    const taskId = await startConversation();
    const { lease } = await old.readHistory(taskId);
    await endTurn(lease, '2');
    const { lease: last, ...history } = await old.readHistory(taskId);
    assert.deepEqual(toTexts(history), ['hello, re 1', 'after 1, 2, re 2']);
    await write({
      lease: last,
      finish: { kind: 'release', delaySeconds: 0, countAttempt: false, error: null },
    });
    const { lease: _, ...read } = await fresh.readHistory(taskId);
    assert.deepEqual({ ...history, texts: 0 }, { ...read, texts: 0 });
  });

  test('contains what another task of the context has added since', async () => {
    const worker = startWorker();
    const contextId = randomUUID();
    const { lease: other } = await createClaimedTask(db, { contextId });
    const taskId = await startConversation(contextId);
    const read = async () => {
      const { lease, ...history } = await worker.readHistory(taskId);
      await write({ lease, finish: { kind: 'release', delaySeconds: 0, countAttempt: false, error: null } });
      return toTexts(history)[0];
    };
    assert.equal(await read(), 'hello, ');
    await write({ lease: other, events: [artifact('x')] });
    assert.equal(await read(), 'hello, x, ');
    await write({ lease: other, events: [artifact('y')] });
    assert.equal(await read(), 'hello, y, ');
    await endTurn(other, 'z');
    assert.equal(await read(), 'hello, z, re z');
  });
});

describe('the cache of histories', () => {
  const key = (turn: number, version = '1') => ({ kind: 'exchange', taskId: 't', turn, version }) as const;

  test('keeps what was used last within its bytes', () => {
    const cache = new HistoryCache(() => 100);
    for (const turn of [1, 2, 3]) {
      cache.set(key(turn), turn, 40);
      cache.get(key(1));
    }
    assert.deepEqual(
      [1, 2, 3].map((turn) => cache.get(key(turn))),
      [1, undefined, 3],
    );
    cache.set(key(4), 4, 101);
    assert.deepEqual([cache.get(key(4)), cache.bytes], [undefined, 80]);
  });

  test('has one version of an entry', () => {
    const cache = new HistoryCache(() => 100);
    cache.set(key(1), 'old', 40);
    cache.set(key(1, '2'), 'new', 30);
    assert.deepEqual([cache.get(key(1)), cache.get(key(1, '2')), cache.bytes], [undefined, 'new', 30]);
  });

  test('gives way to turns that need memory', async () => {
    const budget = new MemoryBudget(100);
    const cache = new HistoryCache(() => budget.free);
    budget.lendTo(cache);
    for (const turn of [1, 2, 3]) cache.set(key(turn), turn, 30);
    const turn = budget.open();
    await turn.take(60);
    assert.equal(cache.bytes, 30);
    turn.close();
    cache.set(key(4), 4, 70);
    assert.equal(cache.bytes, 100);
  });
});
