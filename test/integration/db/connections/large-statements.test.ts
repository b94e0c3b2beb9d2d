/** Large values: their statements, and what reads of them parse, occupy the event loop in pieces, one at a time. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { Client } from 'pg';
import type { Db } from '#shared/db/client/pool.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { readTaskAsOf } from '#shared/db/tasks/as-of.ts';
import { createCachedReader } from '#shared/db/tasks/cached-reader.ts';
import { readFile, storeFile } from '#shared/db/tasks/files.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { createTaskLister } from '#shared/db/tasks/list.ts';
import { createInputReader } from '#shared/db/turns/input/input.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { minLargeBytes, largeWork } from '#shared/runtime/large-work.ts';
import {
  caller,
  createClaimedTask,
  newFollowUp,
  newMessage,
  newTask,
  newTurnEnd,
} from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { observeLargePieces } from '../../../support/large-pieces.ts';

const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
const large = 'x'.repeat(300_000);
const memory = { maxBytes: 200_000_000, take: async () => undefined };

describe('large statements', () => {
  let db: Db;
  before(async () => {
    ({ db } = await connectToTestDatabase());
    // A connection that is idle is used without waiting.
    await sql`select 1`.execute(db);
  });

  const newStep = (output: string, occurrence = 0) => ({
    name: 's',
    occurrence,
    position: occurrence,
    inputHash: null,
    output: JSON.stringify(output),
  });
  const newFile = (content: Buffer) => ({ hash: randomUUID(), mediaType: 'a/b', filename: null, content });

  const statements: Record<string, () => Promise<() => Promise<unknown>>> = {
    'of a new task': async () => {
      const accept = createAccept(db, options);
      return () => accept(newTask({ message: newMessage(large) }));
    },
    'of a further message': async () => {
      const { lease } = await createClaimedTask(db);
      return () => acceptFollowUp(db, options, newFollowUp(lease.taskId, { message: newMessage(large) }));
    },
    'of a step': async () => {
      const { lease } = await createClaimedTask(db);
      const write = createTurnWriter(db, options);
      return () => write({ lease, steps: [newStep(large), newStep('small', 1)] });
    },
    'of an event': async () => {
      const { lease } = await createClaimedTask(db);
      const write = createTurnWriter(db, options);
      const payload = JSON.stringify({ text: large });
      return () => write({ lease, events: [{ kind: 'progress', payload }] });
    },
    'of a file': async () => {
      const { lease } = await createClaimedTask(db);
      return () => storeFile(db, lease, newFile(Buffer.alloc(300_000)));
    },
  };
  for (const [name, prepare] of Object.entries(statements)) {
    test(`are sent in pieces: that ${name}`, async (t) => {
      const run = await prepare();
      const pieces = observeLargePieces(t);
      const sent = observeSends(t, pieces.isInPiece);
      await run();
      assert.deepEqual(sent, [true]);
    });
  }

  test('are counted, even if they did not wait', async (t) => {
    const counted = t.mock.method(largeWork, 'count');
    await sql`select length(${'x'.repeat(16_000_000)})`.execute(db);
    assert.ok(counted.mock.callCount() > 0);
  });

  test('do not delay small writes of other tasks', async (t) => {
    const write = createTurnWriter(db, options);
    const claimed = await Promise.all(Array.from({ length: 5 }, () => createClaimedTask(db)));
    const [{ lease } = assert.fail(), ...others] = claimed;
    const released = Promise.withResolvers<void>();
    t.mock.method(largeWork, 'start', () => released.promise);
    const largeWrites = others.map((other) => write({ lease: other.lease, steps: [newStep(large)] }));
    await write({ lease, finish: newTurnEnd(lease.taskId, 'TASK_STATE_COMPLETED') });
    released.resolve();
    await Promise.all(largeWrites);
  });

  test('run one at a time for each owner, and two in all', async (t) => {
    const accept = createAccept(db, options);
    const released = Promise.withResolvers<void>();
    const started: string[] = [];
    t.mock.method(largeWork, 'start', (name: string) => {
      started.push(name);
      return released.promise;
    });
    const send = (owner: string) => accept(newTask({ owner, message: newMessage(large) }));
    const sends = ['ann', 'ann', 'ben', 'cid'].map(send);
    await sql`select 1`.execute(db);
    assert.deepEqual(started, ['ann', 'ben']);
    released.resolve();
    await Promise.all(sends);
    assert.equal(started.length, 4);
  });

  test('do not delay small messages', async (t) => {
    const accept = createAccept(db, options);
    const released = Promise.withResolvers<void>();
    t.mock.method(largeWork, 'start', () => released.promise);
    const largeSends = Array.from({ length: 4 }, () => accept(newTask({ message: newMessage(large) })));
    await accept(newTask());
    released.resolve();
    await Promise.all(largeSends);
  });
});

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
    // A text with a line break is copied out of the JSON.
    for (const _ of [1, 2]) {
      const { lease } = await createClaimedTask(db, { owner, contextId, message: newMessage(`${large}\n`) });
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

/** Returns, for each statement with a large value, whether it was sent in a piece. */
function observeSends(t: TestContext, isInPiece: () => boolean): boolean[] {
  const sent: boolean[] = [];
  const isLarge = (value: unknown): boolean =>
    (typeof value === 'string' || Buffer.isBuffer(value)) && value.length >= minLargeBytes;
  // oxlint-disable-next-line typescript/unbound-method -- called with its client below
  const query = Client.prototype.query as (this: Client, ...args: unknown[]) => unknown;
  t.mock.method(Client.prototype, 'query', function (this: Client, ...args: unknown[]) {
    const [first, second] = args as [{ values?: unknown[] } | string, unknown];
    const values = typeof first === 'string' ? second : first.values;
    if (Array.isArray(values) && values.some(isLarge)) sent.push(isInPiece());
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
