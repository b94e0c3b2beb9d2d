/**
 * Lists of tasks: every filter returns its tasks in order, and a page costs the same among very many tasks.
 */
import assert from 'node:assert/strict';
import { before, describe, mock, test } from 'node:test';
import { Kysely, PostgresDialect, type CompiledQuery } from 'kysely';
import { Pool } from 'pg';
import { createTaskLister, type ListCursor, type ListFilter } from '#shared/db/tasks/list.ts';
import { searchTasks, type SearchCursor, type SearchFilter } from '#shared/db/tasks/search.ts';
import { createStatsReader } from '#shared/db/tasks/stats.ts';
import { deleteTasksOfOwner } from '#shared/db/tasks/retention.ts';
import type { Database } from '#shared/db/schema/schema.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { taskStates, type TaskState } from '#shared/domain/task.ts';
import { findReads } from '../../../support/database/plan.ts';
import { caller } from '../../../support/database/new-task.ts';
import { beforeStop, createTestDatabase } from '../../../support/database/postgres.ts';

const count = 20_000;
/** The number of tasks of the owner with few tasks. */
const fewCount = 200;
const minute = 60_000;
const now = Date.UTC(2030, 0, 1);

interface Seeded {
  id: string;
  contextId: string;
  state: TaskState;
  statusAt: number;
  hidden: boolean;
}

/** Mostly completed; half of them in one context, three at each time, and many hidden by a direct answer. */
const tasks: readonly Seeded[] = Array.from({ length: count }, (_, index) => ({
  id: uuidv7(),
  contextId: index % 2 === 0 ? 'one' : `context-${index % 700}`,
  state:
    index % 50 === 1
      ? (taskStates[index % taskStates.length] ?? 'TASK_STATE_FAILED')
      : 'TASK_STATE_COMPLETED',
  statusAt: now - Math.floor(index / 3) * minute,
  hidden: index > 50 && index % 20 !== 1,
}));

let pool: Pool;
let db: Kysely<Database>;
const queries: CompiledQuery[] = [];

before(async () => {
  const database = await createTestDatabase();
  pool = new Pool({ connectionString: database.url, max: 2 });
  db = new Kysely({
    dialect: new PostgresDialect({ pool }),
    log: ({ query }) => void queries.push(query),
  });
  const column = <K extends keyof Seeded>(name: K) => tasks.map((task) => task[name]);
  for (const owner of [caller.owner, 'bob', 'carol']) {
    const limit = owner === 'carol' ? fewCount : count;
    const ids = owner === caller.owner ? column('id') : tasks.map(() => uuidv7());
    const values = [ids, column('contextId'), column('state'), column('statusAt'), column('hidden')];
    await pool.query(
      `with task as (
         insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown, direct)
         select id, '', $1, context_id, 'none', state, to_timestamp(at / 1000.0), not hidden, hidden
         from unnest($2::uuid[], $3::text[], $4::text[], $5::float8[], $6::boolean[])
           as seeded (id, context_id, state, at, hidden)
         -- Like tasks whose states have changed: neighbours in a list are far apart in the table.
         order by md5(id::text)
         returning id
       )
       insert into gates (task_id, last_event, wakeup_at) select id, 1, now() from task`,
      [owner, ...values.map((value) => value.slice(0, limit))],
    );
  }
  await pool.query('analyze tasks, gates');
  beforeStop(async () => {
    await db.destroy();
    await database.close();
  });
});

const filters: ListFilter[] = [
  undefined,
  'TASK_STATE_COMPLETED',
  'TASK_STATE_CANCELED',
  'TASK_STATE_WORKING',
].flatMap((state) =>
  [undefined, 'one', 'context-21', 'no such'].flatMap((contextId) =>
    [undefined, 100, 5_000, -1].map((minutes) => ({
      state: state as TaskState | undefined,
      contextId,
      statusSince: minutes === undefined ? undefined : new Date(now - minutes * minute),
    })),
  ),
);

const visible = tasks
  .filter(({ hidden }) => !hidden)
  .toSorted((a, b) => b.statusAt - a.statusAt || (a.id < b.id ? 1 : -1));

/** The ids that a filter should return. */
function getExpectedIds({ state, contextId, statusSince }: ListFilter): string[] {
  return visible
    .filter((task) => state === undefined || task.state === state)
    .filter((task) => contextId === undefined || task.contextId === contextId)
    .filter((task) => statusSince === undefined || task.statusAt >= statusSince.getTime())
    .map(({ id }) => id);
}

const read = (filter: ListFilter, size: number, from?: ListCursor, owner = caller) =>
  createTaskLister(db)({
    caller: owner,
    filter,
    size,
    after: from,
    options: { historyLength: 0, includeArtifacts: false },
  });

/**
 * The blocks that each statement since `queries` was emptied reads, except statements that explain others.
 */
async function countBlocks(): Promise<{ sql: string; blocks: number }[]> {
  const statements = queries.filter((query) => !query.sql.startsWith('\n    explain'));
  return Promise.all(
    statements.map(async ({ sql, parameters }) => {
      const { rows } = await pool.query(`explain (analyze, buffers, format json) ${sql}`, [...parameters]);
      const { 'Shared Hit Blocks': hit, 'Shared Read Blocks': read } = rows[0]['QUERY PLAN'][0].Plan;
      return { sql, blocks: hit + read };
    }),
  );
}

/** Checks that each statement since `queries` was emptied finds tasks by an index, however many there are. */
async function checkIndexes(): Promise<void> {
  for (const { sql, parameters } of queries) {
    const { rows } = await pool.query(`explain (format json) ${sql}`, [...parameters]);
    const reads = findReads(rows[0]['QUERY PLAN'][0].Plan, 'tasks');
    assert.ok(reads.length > 0);
    for (const read of reads) assert.ok(read['Index Name'] !== undefined, JSON.stringify(read));
  }
}

describe('list of tasks', () => {
  // [CORE-LIST-002] [CORE-LIST-003]
  test('pages through every filter without gaps or repeats', async () => {
    for (const filter of filters) {
      const all = getExpectedIds(filter);
      const seen: string[] = [];
      let from: ListCursor | undefined;
      do {
        const page = await read(filter, 97, from);
        seen.push(...page.tasks.map(({ task }) => task.id));
        if (all.length <= 1000) assert.equal(page.total, all.length);
        else assert.ok(page.total > 1000);
        from = page.next;
      } while (from !== undefined && seen.length < 300);
      assert.deepEqual(seen, from === undefined ? all : all.slice(0, seen.length), JSON.stringify(filter));
    }
  });

  test('reads only the tasks of a page and the first ones of each state', async () => {
    for (const filter of filters) {
      queries.length = 0;
      const first = await read(filter, 50);
      const [last] = getExpectedIds(filter).slice(-30);
      const end = tasks.find(({ id }) => id === last);
      if (first.next !== undefined && end !== undefined) {
        await read(filter, 50, { ...first.next, statusAt: new Date(end.statusAt).toISOString(), id: end.id });
      }
      // A task is read by its place in an index, by its id, and with its gate. A bad plan reads 20,000
      // blocks.
      for (const { sql, blocks } of await countBlocks()) {
        assert.ok(blocks < 2_000, `${blocks} blocks for ${JSON.stringify(filter)}: ${sql}`);
      }
    }
  });

  test('estimates the total of a long list once a minute', async () => {
    const list = createTaskLister(db);
    const getTotal = async (filter: ListFilter, owner = caller) => {
      queries.length = 0;
      const options = { historyLength: 0, includeArtifacts: false };
      const { total } = await list({ caller: owner, filter, size: 50, options });
      return { total, statements: queries.length };
    };
    const first = await getTotal({});
    assert.ok(first.total > 1_000 && first.statements === 3, JSON.stringify(first));
    assert.deepEqual(await getTotal({}), { ...first, statements: 2 });
    const carol = { tenant: '', owner: 'carol' };
    assert.ok((await getTotal({}, carol)).total <= fewCount);
    assert.ok((await getTotal({ state: 'TASK_STATE_CANCELED' })).total < first.total);
    const real = performance.now.bind(performance);
    mock.method(performance, 'now', () => real() + 61_000);
    assert.equal((await getTotal({})).statements, first.statements);
    mock.restoreAll();
  });

  test('reads nothing of owners with many tasks for an owner with few', async () => {
    queries.length = 0;
    const { tasks, total } = await read({}, 50, undefined, { tenant: '', owner: 'carol' });
    assert.ok(tasks.length === 50 && total > 50 && total <= fewCount);
    for (const { sql, blocks } of await countBlocks()) {
      assert.ok(blocks < 6 * fewCount, `${blocks} blocks: ${sql}`);
    }
  });
});

describe('ids and totals of a list', () => {
  test('are read from an index alone', async () => {
    for (const filter of filters.filter(({ contextId }) => contextId === undefined)) {
      queries.length = 0;
      await read(filter, 50);
      const [ids] = queries;
      assert.ok(ids);
      const { rows } = await pool.query(`explain (format json) ${ids.sql}`, [...ids.parameters]);
      const reads = findReads(rows[0]['QUERY PLAN'][0].Plan, 'tasks');
      assert.ok(reads.length > 0);
      for (const node of reads) assert.equal(node['Node Type'], 'Index Only Scan', JSON.stringify(filter));
    }
  });

  test('cost little next to entries of states that many tasks have left', async () => {
    const owner = 'dora';
    await pool.query(
      `with task as (
         insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown)
         select gen_random_uuid(), '', $1, 'c', 'none', 'TASK_STATE_WORKING', now() - n * interval '1 second', true
         from generate_series(1, 5000) n returning id
       )
       insert into gates (task_id, last_event, wakeup_at) select id, 1, now() from task`,
      [owner],
    );
    for (const state of ['TASK_STATE_INPUT_REQUIRED', 'TASK_STATE_COMPLETED'])
      await pool.query('update tasks set state = $1 where owner = $2', [state, owner]);
    queries.length = 0;
    assert.equal((await read({}, 5, undefined, { tenant: '', owner })).tasks.length, 5);
    const [ids] = await countBlocks();
    // A thousand tasks are counted. The entries that the tasks have left fill a hundred pages.
    assert.ok(ids && ids.blocks < 200, `${ids?.blocks} blocks`);
  });
});

describe('search', () => {
  /** Returns the ids of all pages, and how many pages there were. */
  async function search(filter: SearchFilter, maxPages = 30): Promise<{ ids: string[]; pages: number }> {
    const ids: string[] = [];
    let after: SearchCursor | undefined;
    let pages = 0;
    do {
      const page = await searchTasks(db, caller, filter, { size: 90, after });
      ids.push(...page.tasks.map(({ taskId }) => taskId));
      after = page.next;
      pages += 1;
    } while (after !== undefined && pages < maxPages);
    return { ids, pages };
  }

  const rare = visible.filter((_, index) => index % 700 === 650);
  const rareIds = rare.map(({ id }) => id);
  before(async () => {
    await pool.query(
      `update tasks set last_error = 'A rare Problem', metadata = '{"color": "\\u0041"}', agent_hash = 'new',
         created_at = now() - interval '9 days'
       where id = any($1::uuid[])`,
      [rareIds],
    );
    const nullCharacter = visible[3]!.id;
    await pool.query(`update tasks set metadata = '{"color": "\\u0000"}' where id = $1`, [nullCharacter]);
    await pool.query(
      `insert into webhook_configs (task_id, id, tenant, owner, url, events, protocol_version, failures)
       select id, 'hook', '', $2, 'http://localhost/', 'all', '1.0', 1 from unnest($1::uuid[]) as id`,
      [rareIds, caller.owner],
    );
  });

  test('finds rare tasks by each condition, over pages that may be empty', async () => {
    const conditions: SearchFilter[] = [
      { error: 'RARE prob' },
      { metadataKey: 'color' },
      { agent: 'new' },
      { createdBefore: new Date(Date.now() - 8 * 86_400_000) },
      { webhook: 'failing' },
    ];
    for (const filter of conditions) {
      const { ids, pages } = await search(filter);
      assert.deepEqual(ids, rareIds, JSON.stringify(filter));
      assert.ok(pages > 1);
    }
    assert.deepEqual((await search({ webhook: 'disabled' })).ids, []);
    const { tasks } = await searchTasks(db, caller, { agent: 'new' }, { size: 1 });
    assert.equal(tasks[0]?.webhook, 'failing');
  });

  test('pages through states and times without gaps or repeats', async () => {
    const since = new Date(now - 5_000 * minute);
    const before = new Date(now - 100 * minute);
    const states: TaskState[] = ['TASK_STATE_FAILED', 'TASK_STATE_WORKING', 'TASK_STATE_CANCELED'];
    const { ids } = await search({ states, statusSince: since, statusBefore: before });
    const expected = visible.filter(
      ({ state, statusAt }) =>
        states.includes(state) && statusAt >= since.getTime() && statusAt < before.getTime(),
    );
    assert.ok(expected.length > 90);
    assert.deepEqual(
      ids,
      expected.map(({ id }) => id),
    );
  });

  test('reads no more for a condition that nothing meets', async () => {
    queries.length = 0;
    const page = await searchTasks(db, caller, { error: 'no such', webhook: 'failing' }, { size: 50 });
    assert.deepEqual([page.tasks, page.next === undefined], [[], false]);
    for (const { sql, blocks } of await countBlocks()) {
      // A thousand places in the index, each with its task, of the state that most tasks have.
      assert.ok(blocks < 3_000, `${blocks} blocks: ${sql}`);
    }
    await checkIndexes();
  });

  test('reads no more than a page if there is no further condition', async () => {
    queries.length = 0;
    await searchTasks(db, caller, {}, { size: 50 });
    // The first 51 places of each of eight states, and 51 tasks by their ids.
    for (const { sql, blocks } of await countBlocks()) assert.ok(blocks < 700, `${blocks} blocks: ${sql}`);
    await checkIndexes();
  });

  test('counts tasks of each state and times the newest', async () => {
    queries.length = 0;
    const readStats = createStatsReader(db);
    const { states, completion, countsUpTo } = await readStats(caller);
    const count = (state: TaskState) => visible.filter((task) => task.state === state).length;
    for (const state of taskStates) assert.equal(states[state], Math.min(count(state), countsUpTo + 1));
    assert.equal(completion?.tasks, Math.min(count('TASK_STATE_COMPLETED'), 1_000));
    for (const { sql, blocks } of await countBlocks()) assert.ok(blocks < 8_000, `${blocks} blocks: ${sql}`);
    assert.ok(completion.p50 <= completion.p90 && completion.p90 <= completion.p99);
    await checkIndexes();
    queries.length = 0;
    await readStats(caller);
    assert.equal(queries.length, 0, 'figures are shared for a second');
    assert.deepEqual((await readStats({ tenant: 'red', owner: caller.owner })).completion, undefined);
  });
});

describe('removal of an owner', () => {
  test('removes tasks of every state and hidden ones, and none of others', async () => {
    const removed = await deleteTasksOfOwner(db, { tenant: '', owner: 'bob' }, 2 * count);
    assert.equal(removed, count);
    const { rows } = await pool.query('select count(*)::int as remaining from tasks where owner = $1', [
      caller.owner,
    ]);
    assert.equal(rows[0]?.remaining, count);
  });
});
