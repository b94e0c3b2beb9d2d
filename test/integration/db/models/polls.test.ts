/** Polls of calls at Google: one statement takes many, and each call is due again later. */
import assert from 'node:assert/strict';
import { before, beforeEach, describe, test } from 'node:test';
import { Kysely, PostgresDialect } from 'kysely';
import { Pool } from 'pg';
import { bringPollsForward, claimDueCalls } from '#shared/db/models/polls.ts';
import type { Database } from '#shared/db/schema/schema.ts';
import { beforeStop, createTestDatabase } from '../../../support/database/postgres.ts';

let pool: Pool;
let db: Kysely<Database>;
let statements = 0;

before(async () => {
  const database = await createTestDatabase();
  pool = new Pool({ connectionString: database.url, max: 2 });
  db = new Kysely({ dialect: new PostgresDialect({ pool }), log: () => void (statements += 1) });
  beforeStop(async () => {
    await pool.end();
    await database.close();
  });
});
beforeEach(async () => {
  await pool.query('truncate gates, steps');
  statements = 0;
});

interface Waits {
  count: number;
  ageSeconds: number;
  dueInSeconds: number;
  wait: object;
  /** The state class of the gate. */
  stateClass: number;
  leased: boolean;
  turn: number;
  /** The output of the step that has created the call. */
  created: string;
}

/** Adds calls whose turns are suspended, and that are due. */
async function addWaits(more: Partial<Waits> = {}): Promise<void> {
  const waits: Waits = {
    count: 1,
    ageSeconds: 40,
    dueInSeconds: -1,
    wait: {},
    stateClass: 0,
    leased: false,
    turn: 1,
    created: '{"id":"v1_created"}',
    ...more,
  };
  await pool.query(
    `with gate as (
       insert into gates (task_id, last_event, wakeup_at, state_class, lease_until, turn)
       select gen_random_uuid(), 1, now() + interval '1 day', $1::smallint,
         case when $2::boolean then now() + interval '1 minute' end, $3::int
       from generate_series(1, $4::int)
       returning task_id
     ),
     created as (
       insert into steps (task_id, turn, name, occurrence, position, fence, output, finished_at)
       select task_id, 1, 'interaction', 0, 1, 1, $5::json, now() from gate
     )
     insert into steps (task_id, turn, name, occurrence, position, fence, wait, token, started_at, due_at)
     select task_id, 1, 'interaction-wait', 0, 0, 1, $6::json, task_id::text,
       now() - $7::float8 * interval '1 second', now() + $8::float8 * interval '1 second' from gate`,
    [
      waits.stateClass,
      waits.leased,
      waits.turn,
      waits.count,
      waits.created,
      JSON.stringify({ kind: 'model', ...waits.wait }),
      waits.ageSeconds,
      waits.dueInSeconds,
    ],
  );
}

async function readDue(): Promise<number[]> {
  const { rows } = await pool.query<{ due: number }>(
    `select extract(epoch from due_at - now())::float8 as due from steps where wait is not null order by due_at`,
  );
  return rows.map(({ due }) => due);
}

describe('calls that are due', () => {
  test('are taken with one statement, 200 as well as one or none', async () => {
    await addWaits({ count: 200 });
    const calls = await claimDueCalls(db, 500);
    assert.equal(new Set(calls.map(({ token }) => token)).size, 200);
    assert.deepEqual(new Set(calls.map(({ interaction }) => interaction)), new Set(['v1_created']));
    assert.deepEqual(await claimDueCalls(db, 500), [], 'none is due');
    assert.equal(statements, 2);
  });

  test('are taken once by workers that look at the same time', async () => {
    await addWaits({ count: 50 });
    const taken = await Promise.all([claimDueCalls(db, 40), claimDueCalls(db, 40)]);
    const tokens = taken.flat().map(({ token }) => token);
    assert.deepEqual([tokens.length, new Set(tokens).size], [50, 50]);
  });

  test('are due again after half of their age, from 2 to 60 s', async () => {
    for (const ageSeconds of [1, 40, 3600]) await addWaits({ ageSeconds });
    assert.equal((await claimDueCalls(db, 10)).length, 3);
    const due = await readDue();
    assert.deepEqual(
      due.map((seconds) => Math.round(seconds)),
      [2, 20, 60],
    );
  });

  test('are named by the report of a webhook first', async () => {
    await addWaits({ wait: { interaction: 'v1_reported' } });
    await addWaits({ wait: { interaction: 'v1_reported' }, created: '{"failed":{}}' });
    const calls = await claimDueCalls(db, 10);
    assert.deepEqual(
      calls.map(({ interaction }) => interaction),
      ['v1_reported', 'v1_reported'],
    );
  });

  const others: Record<string, Partial<Waits>> = {
    'is not due yet': { dueInSeconds: 5 },
    'is streamed': { wait: { streams: true } },
    'belongs to a turn that runs': { leased: true },
    'belongs to a task that has ended': { stateClass: 2 },
    'belongs to an earlier turn': { turn: 2 },
    'was not created': { created: '{"failed":{}}' },
  };
  for (const [reason, more] of Object.entries(others)) {
    test(`leave out one that ${reason}`, async () => {
      await addWaits(more);
      assert.deepEqual(await claimDueCalls(db, 10), []);
    });
  }
});

describe('the start of an api', () => {
  test('makes calls due one after the other, and delays none', async () => {
    await addWaits({ count: 50, dueInSeconds: 50 });
    await addWaits({ dueInSeconds: 0.01 });
    await addWaits({ dueInSeconds: 50, wait: { streams: true } });
    await bringPollsForward(db);
    const due = await readDue();
    assert.ok(due[1]! <= 0.02 && due[50]! <= 1 && due[50]! > 0.5, due.join(' '));
    assert.ok(due[51]! > 40, 'the turn polls a call that is streamed');
    assert.equal(statements, 1);
  });
});
