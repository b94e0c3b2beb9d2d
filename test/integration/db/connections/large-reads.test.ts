/** Large content that is read: in pieces, and no more often than necessary. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test, type TestContext } from 'node:test';
import { Client } from 'pg';
import type { Db } from '#shared/db/client/pool.ts';
import { readEvents, readLogPosition, tailEvents } from '#shared/db/events/read.ts';
import { readTaskAsOf } from '#shared/db/tasks/as-of.ts';
import { createCachedReader } from '#shared/db/tasks/cached-reader.ts';
import { readFile, storeFile } from '#shared/db/tasks/files.ts';
import { createTaskLister } from '#shared/db/tasks/list.ts';
import { createInputReader } from '#shared/db/turns/input/input.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { textOf } from '#shared/domain/message.ts';
import { maxTaskBytes } from '#shared/domain/sizes.ts';
import { minLargeBytes } from '#shared/runtime/large-work.ts';
import { caller, createClaimedTask, newMessage, newTurnEnd } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { observeLargePieces } from '../../../support/large-pieces.ts';

const options = { wakeupGraceSeconds: 10 };
const large = 'x'.repeat(300_000);
const memory = { maxBytes: 200_000_000, take: async () => undefined };

describe('large content that is read', () => {
  let db: Db;
  before(async () => {
    ({ db } = await connectToTestDatabase());
  });

  /** A task with a large history and a large artifact. */
  async function createLargeTask(owner: string): Promise<string> {
    const { lease } = await createClaimedTask(db, { owner, message: newMessage(large) });
    const artifact = { artifactId: 'a', parts: [{ text: large }] };
    const update = { taskId: lease.taskId, contextId: 'c', artifact, append: false, lastChunk: true };
    const event = {
      kind: 'artifact',
      payload: JSON.stringify({ artifactUpdate: update }),
      artifact: { artifactId: 'a', whole: JSON.stringify(artifact) },
    } as const;
    await createTurnWriter(db, options)({ lease, events: [event] });
    return lease.taskId;
  }

  const reads: Record<string, (owner: string, taskId: string) => Promise<unknown>> = {
    'a task': async (owner, taskId) => {
      const found = await createCachedReader(db)({ tenant: '', owner }, taskId);
      assert.ok(found!.bytes > 600_000);
    },
    'a list of tasks': async (owner) => {
      const listing = { caller: { tenant: '', owner }, filter: {}, size: 10, options: {} };
      assert.equal((await createTaskLister(db)(listing)).tasks.length, 1);
    },
    'a task as of an event': async (owner, taskId) => {
      const found = await readTaskAsOf(db, { taskId, owner, seq: 3, maxArtifactBytes: 1_000_000 });
      assert.equal(found?.artifacts?.length, 1);
    },
  };
  for (const [name, read] of Object.entries(reads)) {
    test(`is parsed in pieces of its owner: ${name}`, async (t) => {
      const owner = randomUUID();
      const taskId = await createLargeTask(owner);
      const pieces = observeLargePieces(t);
      const parsed = observeParses(t, pieces.isInPiece);
      await read(owner, taskId);
      assert.ok(parsed.length > 0);
      assert.ok(parsed.every(Boolean), parsed.join());
      assert.ok(
        pieces.started.every((name) => [owner, 'encryption'].includes(name)),
        pieces.started.join(),
      );
    });
  }

  test('is parsed in pieces of its owner: a history', async (t) => {
    const owner = randomUUID();
    const contextId = randomUUID();
    for (const _ of [1, 2]) {
      const { lease } = await createClaimedTask(db, { owner, contextId, message: newMessage(large) });
      await createTurnWriter(
        db,
        options,
      )({
        lease,
        finish: newTurnEnd(lease.taskId, 'TASK_STATE_COMPLETED'),
      });
    }
    const claimed = await createClaimedTask(db, { owner, contextId });
    const input = await createInputReader(db, { recordBytes: 1_000_000 })(claimed, memory);
    const pieces = observeLargePieces(t);
    const parsed = observeParses(t, pieces.isInPiece);
    assert.equal((await input.readHistory(10)).exchanges.length, 2);
    assert.deepEqual(parsed, [true, true]);
    // Each is measured first.
    assert.deepEqual(pieces.started, Array(4).fill(owner));
  });

  test('is parsed in pieces of its task: a stream', async (t) => {
    const taskId = await createLargeTask(randomUUID());
    const pieces = observeLargePieces(t);
    const parsed = observeParses(t, pieces.isInPiece);
    const { events, hasMore } = await readEvents(db, taskId, 0, 10);
    assert.deepEqual([events.map(({ seq }) => seq), hasMore], [[1, 2, 3], false]);
    assert.ok(parsed.length > 0 && parsed.every(Boolean), parsed.join());
  });

  test('is read in pages: a stream', async () => {
    const { lease } = await createClaimedTask(db);
    const payload = JSON.stringify({ text: 'x'.repeat(500_000) });
    const events = Array.from({ length: 5 }, () => ({ kind: 'progress', payload }) as const);
    await createTurnWriter(db, options)({ lease, events });
    const pages: number[][] = [];
    for (let after = 2, more = true; more; after = pages.at(-1)!.at(-1)!) {
      const page = await readEvents(db, lease.taskId, after, 4);
      pages.push(page.events.map(({ seq }) => seq));
      more = page.hasMore;
    }
    // The first to exceed 1 MiB together ends a page.
    assert.deepEqual(pages, [
      [3, 4, 5],
      [6, 7],
    ]);
  });

  test('is left to its readers by the query that follows all events', async () => {
    const position = await readLogPosition(db);
    const taskId = await createLargeTask(randomUUID());
    const { events } = await tailEvents(db, position, [taskId]);
    assert.deepEqual(
      events.map(({ seq, payload }) => [seq, payload === null]),
      [
        [1, false],
        [2, false],
        [3, true],
      ],
    );
  });

  test('is read in pieces of its owner: the input of a turn', async (t) => {
    const owner = randomUUID();
    const claimed = await createClaimedTask(db, { owner, message: newMessage(large) });
    const pieces = observeLargePieces(t);
    const sent = observeQueries(t, () => pieces.isInPiece());
    const input = await createInputReader(db, { recordBytes: 1_000_000 })(claimed, memory);
    assert.equal(textOf(input.message.parts), large);
    const reads = sent.filter(({ text }) => text.includes('m.message::text'));
    assert.deepEqual(
      reads.map(({ observed }) => observed),
      [true],
    );
  });

  for (const [size, chars, statements] of [
    ['fits into no answer: once', 4_000_000, { task: 1, list: 2 }],
    ['fits into an answer of its own: twice', 1_000_000, { task: 2, list: 2 }],
  ] as const) {
    test(`is read as often as necessary, if it ${size}`, async (t) => {
      const owner = randomUUID();
      const { lease } = await createClaimedTask(db, { owner, message: newMessage('x'.repeat(chars)) });
      const sent = observeQueries(t, () => undefined);
      const task = await createCachedReader(db)({ tenant: '', owner }, lease.taskId);
      assert.equal(sent.length, statements.task);
      const list = createTaskLister(db);
      const page = await list({
        caller: { tenant: '', owner },
        filter: {},
        size: 10,
        options: { historyLength: 1 },
      });
      assert.equal(sent.length, statements.task + statements.list);
      assert.deepEqual(page.tasks[0]?.task, task?.task);
      assert.equal(task?.task.history.length, chars < maxTaskBytes ? 1 : 0);
    });
  }

  test('is received in pieces: a file', async (t) => {
    const { lease } = await createClaimedTask(db);
    const content = Buffer.alloc(2_500_000, 'f');
    const file = { hash: randomUUID(), mediaType: 'a/b', filename: null, content };
    await storeFile(db, lease, file);
    const { started } = observeLargePieces(t);
    const read = await readFile(db, caller, { taskId: lease.taskId, hash: file.hash });
    assert.ok(read?.content.equals(content));
    assert.deepEqual(started, Array(3).fill(caller.owner));
  });
});

/** Returns all statements that are sent, with what `observe` returns then. */
function observeQueries<T>(t: TestContext, observe: () => T): { text: string; observed: T }[] {
  const sent: { text: string; observed: T }[] = [];
  // oxlint-disable-next-line typescript/unbound-method -- called with its client below
  const query = Client.prototype.query as (this: Client, ...args: unknown[]) => unknown;
  t.mock.method(Client.prototype, 'query', function (this: Client, ...args: unknown[]) {
    const [first] = args as [{ text: string } | string];
    sent.push({ text: typeof first === 'string' ? first : first.text, observed: observe() });
    return query.apply(this, args);
  });
  return sent;
}

/** Returns, for each large text that is parsed, whether this happens in a piece. */
function observeParses(t: TestContext, isInPiece: () => boolean): boolean[] {
  const parsed: boolean[] = [];
  const { parse } = JSON;
  t.mock.method(JSON, 'parse', (text: string) => {
    if (text.length >= minLargeBytes) parsed.push(isInPiece());
    return parse(text) as unknown;
  });
  return parsed;
}
