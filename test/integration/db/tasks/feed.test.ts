/** Feeds: each reader sees every event of its caller once, from any position and however slowly it reads. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Kysely, PostgresDialect } from 'kysely';
import type { Pool } from 'pg';
import type { Db } from '#shared/db/client/pool.ts';
import { createFeed, type Feed } from '#shared/db/events/feed.ts';
import { formatPosition, parsePosition, readFeedPage } from '#shared/db/events/feed-page.ts';
import { readLogPosition, type LogPosition } from '#shared/db/events/read.ts';
import type { Database } from '#shared/db/schema/schema.ts';
import type { Caller } from '#shared/db/tasks/visibility.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { createClaimedTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

let owners = 0;
/** A caller of its own: a feed may start before recent events, if another test has a transaction open. */
const createCaller = (): Caller => ({ tenant: '', owner: `owner ${(owners += 1)}` });

describe('a feed', () => {
  const cleanup = createSuiteCleanup();
  let db: Db;
  let feed: Feed;
  let pool: Pool;
  const log = createLogger('test', 'silent');
  before(async () => {
    ({ db, pool } = await connectToTestDatabase());
    feed = createFeed({ db, hints: { listen: () => undefined }, log, pollMs: 5 });
    cleanup.after(() => feed.close());
  });

  /** Starts to read at once. */
  async function open(caller: Caller, from?: LogPosition, opened = feed) {
    const stop = new AbortController();
    const chunks = opened.follow(caller, from, stop.signal);
    await chunks.next();
    let unread: { key: string; position: string }[] = [];
    const readChunk = async () => {
      const { value } = await chunks.next();
      assert.ok(value !== undefined, 'the feed is open');
      return value;
    };
    const read = async (count: number) => {
      while (unread.length < count) {
        const { events, from: start, next } = await readChunk();
        for (const event of events) {
          const position = formatPosition(event === events.at(-1) ? next : start);
          unread.push({ key: `${event.taskId}/${event.event}`, position });
        }
      }
      const seen = unread.slice(0, count);
      unread = unread.slice(count);
      return seen;
    };
    const close = async () => {
      stop.abort();
      await chunks.return();
    };
    return { read, readChunk, close };
  }

  /** Creates tasks with two events each. */
  async function createTasks(caller: Caller, count: number): Promise<string[]> {
    const created = await Promise.all(Array.from({ length: count }, () => createClaimedTask(db, caller)));
    return created.flatMap(({ lease }) => [`${lease.taskId}/1`, `${lease.taskId}/2`]).toSorted();
  }

  const keys = (seen: { key: string }[]): string[] => seen.map(({ key }) => key).toSorted();

  test('has the events of its caller only, with state and time', async () => {
    const [ada, bob] = [createCaller(), createCaller()];
    const [reader, other, red] = await Promise.all([open(ada), open(bob), open({ ...ada, tenant: 'red' })]);
    const [hers, his] = [await createTasks(ada, 3), await createTasks(bob, 2)];
    const reds = await createTasks({ ...ada, tenant: 'red' }, 1);
    assert.deepEqual(keys(await reader.read(6)), hers);
    assert.deepEqual(keys(await other.read(4)), his);
    assert.deepEqual(keys(await red.read(2)), reds);
    await Promise.all([reader.close(), other.close(), red.close()]);
  });

  test('reads once for all readers, and gives those of a caller the same chunk', async () => {
    const statements: string[] = [];
    let hint = () => {};
    const shared = createFeed({
      db: new Kysely<Database>({
        dialect: new PostgresDialect({ pool }),
        log: ({ query }) => void statements.push(query.sql),
      }),
      hints: { listen: (listener) => (hint = listener) },
      log,
      pollMs: 60_000,
    });
    const callers = [createCaller(), createCaller()];
    const from = await readLogPosition(db);
    for (const caller of callers) await createTasks(caller, 1);
    const openAll = (start?: LogPosition) =>
      Promise.all(callers.flatMap((caller) => Array.from({ length: 50 }, () => open(caller, start, shared))));
    const [behind, level] = await Promise.all([openAll(from), openAll()]);
    await Promise.all(behind.map(({ read }) => read(2)));
    // The position of the loop, its first poll, and one page for all that started earlier.
    assert.ok(statements.length <= 3, `${statements.length} statements`);
    statements.length = 0;
    for (const caller of callers) await createTasks(caller, 1);
    hint();
    const readers = [...behind, ...level];
    const chunks = await Promise.all(readers.map(({ readChunk }) => readChunk()));
    assert.equal(new Set(chunks).size, callers.length);
    assert.ok(statements.length <= 2, `${statements.length} statements`);
    shared.close();
    await Promise.all(readers.map(({ close }) => close()));
  });

  test('continues after any event without a gap', async () => {
    const ada = createCaller();
    const reader = await open(ada);
    const created = await createTasks(ada, 20);
    const seen = await reader.read(40);
    await reader.close();
    for (const index of [0, 7, 38, 39]) {
      const resumed = await open(ada, parsePosition(seen[index]!.position));
      const marker = await createTasks(ada, 1);
      const later: string[] = [];
      while (!marker.every((key) => later.includes(key))) later.push(...keys(await resumed.read(1)));
      const all = new Set([...keys(seen.slice(0, index + 1)), ...later]);
      assert.ok(created.every((key) => all.has(key)));
      assert.equal(new Set(later).size, later.length, 'no event comes twice on one connection');
      await resumed.close();
    }
  });

  test('misses no event of a transaction that commits late', async () => {
    const ada = createCaller();
    const [task] = await createTasks(ada, 1);
    const [taskId = ''] = task!.split('/');
    const reader = await open(ada);
    const release = Promise.withResolvers<void>();
    const inserted = Promise.withResolvers<void>();
    const late = db.transaction().execute(async (trx) => {
      const payload = JSON.stringify({ statusUpdate: { status: { state: 'TASK_STATE_WORKING' } } });
      await trx
        .insertInto('events')
        .values({ task_id: taskId, seq: 3, kind: 'state', artifact_id: null, payload })
        .execute();
      inserted.resolve();
      await release.promise;
    });
    await inserted.promise;
    const early = await createTasks(ada, 1);
    const seen = await reader.read(2);
    while (!early.every((key) => keys(seen).includes(key))) seen.push(...(await reader.read(1)));
    assert.ok(!keys(seen).includes(`${taskId}/3`));
    await reader.close();
    release.resolve();
    await late;
    const resumed = await open(ada, parsePosition(seen.at(-1)!.position));
    const missed = keys(await resumed.read(1));
    while (!missed.includes(`${taskId}/3`)) missed.push(...keys(await resumed.read(1)));
    await resumed.close();
  });

  test('reaches a reader that did not read while much happened', async () => {
    const ada = createCaller();
    const reader = await open(ada);
    const created: string[] = [];
    for (let set = 0; set < 6; set += 1) created.push(...(await createTasks(ada, 100)));
    assert.deepEqual(keys(await reader.read(1_200)), created.toSorted());
    await reader.close();
  });

  test('pages in whole transactions through a long log', async () => {
    const [ada, bob] = [createCaller(), createCaller()];
    let from = await readLogPosition(db);
    const created = [...(await createTasks(ada, 10)), ...(await createTasks(bob, 10))].toSorted();
    const seen: string[] = [];
    let pages = 0;
    for (let more = true; more; pages += 1) {
      const page = await readFeedPage(db, [ada, bob], { from, limit: 3 });
      seen.push(...page.events.map(({ event }) => `${event.taskId}/${event.event}`));
      ({ next: from, more } = page);
    }
    assert.deepEqual(seen.toSorted(), created);
    assert.ok(pages > 2);
  });

  test('repeats nothing to a reader that comes from a process which is ahead', async () => {
    let hint = (): void => undefined;
    const hints = { listen: (listener: () => void) => void (hint = listener) };
    const behind = createFeed({ db, hints, log, pollMs: 60_000 });
    cleanup.after(() => behind.close());
    const [ada, bob] = [createCaller(), createCaller()];
    const other = await open(bob, undefined, behind);
    const first = await open(ada);
    await createTasks(ada, 1);
    const position = (await first.read(2)).at(-1)?.position ?? '';
    const resumed = await open(ada, parsePosition(position), behind);
    const created = await createTasks(ada, 1);
    hint();
    assert.deepEqual(keys(await resumed.read(2)), created.toSorted());
    await Promise.all([other, first, resumed].map(({ close }) => close()));
  });

  test('knows the positions that it can have sent', async () => {
    assert.ok(await feed.isKnown(await readLogPosition(db)));
    assert.ok(!(await feed.isKnown({ xmax: '999999999999999', running: [] })));
    for (const text of ['', 'x', '1:2', '-1', '5-9', `1${'-0'.repeat(2_000)}`]) {
      assert.equal(parsePosition(text), undefined, text.slice(0, 10));
    }
  });
});
