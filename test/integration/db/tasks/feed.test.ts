/** Feeds: each reader sees every event of its caller once, from any position and however slowly it reads. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Db } from '#shared/db/client/pool.ts';
import { createFeed, type Feed } from '#shared/db/events/feed.ts';
import { parsePosition, readFeedPage } from '#shared/db/events/feed-page.ts';
import { readLogPosition, type LogPosition } from '#shared/db/events/read.ts';
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
  before(async () => {
    ({ db } = await connectToTestDatabase());
    feed = createFeed({ db, log: createLogger('test', 'silent'), pollMs: 5 });
    cleanup.after(() => feed.close());
  });

  /** Starts to read at once. */
  async function open(caller: Caller, from?: LogPosition) {
    const stop = new AbortController();
    const entries = feed.follow(caller, from, stop.signal);
    await entries.next();
    const read = async (count: number) => {
      const seen: { key: string; position: string }[] = [];
      while (seen.length < count) {
        const { value } = await entries.next();
        assert.ok(value !== undefined, 'the feed is open');
        const { event, position } = value;
        if (event !== undefined) seen.push({ key: `${event.taskId}/${event.event}`, position });
      }
      return seen;
    };
    const close = async () => {
      stop.abort();
      await entries.return();
    };
    return { read, close };
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

  test('knows the positions that it can have sent', async () => {
    assert.ok(await feed.isKnown(await readLogPosition(db)));
    assert.ok(!(await feed.isKnown({ xmax: '999999999999999', running: [] })));
    for (const text of ['', 'x', '1:2', '-1', '5-9', `1${'-0'.repeat(2_000)}`]) {
      assert.equal(parsePosition(text), undefined, text.slice(0, 10));
    }
  });
});
