/** The cost of reading the conversation before a turn, in blocks of the database. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pool } from 'pg';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { createInputReader } from '#shared/db/turns/input/input.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import {
  claimTask,
  createClaimedTask,
  newFollowUp,
  newTask,
  newTurnEnd,
} from '../../../support/database/new-task.ts';
import { openSingleConnection } from '../../../support/database/postgres.ts';

const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 };
const memory = { maxBytes: 200_000_000, take: async () => undefined };
const recordBytes = 1_000_000;

describe('the history of a context', () => {
  for (const contexts of [1, 50]) {
    test(`is found without reading others if one owner has 20,000 tasks in ${contexts} contexts`, async (t) => {
      const { db, pool } = await openSingleConnection(t);
      await pool.query(
        `with task as (
           insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown)
           select gen_random_uuid(), '', 'ada', 'c' || i % $1, 'none', 'TASK_STATE_COMPLETED', now(), true
           from generate_series(1, 20000) i returning id, context_id
         )
         insert into messages (task_id, turn, role, message, context_key)
         select id, 1, 'user', '{}', md5(context_id)::uuid from task`,
        [contexts],
      );
      await pool.query('analyze');
      const tasks = Array.from({ length: 20 }, () => newTask({ owner: 'bob' }));
      const accept = createAccept(db, options);
      await Promise.all(tasks.map((task) => accept(task)));
      const blocks = await countBlocks(pool, async () => {
        const claim = createClaim(db, {
          worker: 'w',
          leaseSeconds: 30,
          wakeupGraceSeconds: 10,
          maxAttempts: 5,
        });
        const results = await Promise.all(tasks.map(({ taskId }) => claim(taskId)));
        assert.ok(results.every(({ kind }) => kind === 'claimed'));
      });
      assert.ok(
        blocks > 0 && blocks < tasks.length * 20,
        `${blocks} blocks of messages were read for ${tasks.length} tasks`,
      );
    });
  }

  test('costs a claim nothing, and a read no more in a long task than in a short one', async (t) => {
    const { db, pool } = await openSingleConnection(t);
    const write = createTurnWriter(db, options);
    let claimed = await createClaimedTask(db);
    const { taskId } = claimed.lease;
    /** Ends the turn, as if the task had this many turns already. */
    const continueAt = async (turn: number): Promise<void> => {
      await write({ lease: claimed.lease, finish: newTurnEnd(taskId, 'TASK_STATE_INPUT_REQUIRED') });
      await pool.query(
        `insert into messages (task_id, turn, role, message, context_key)
         select $1, turn, role, '{}', case role when 'user' then
           (select context_key from messages where task_id = $1 and turn = 1 and role = 'user') end
         from generate_series((select max(turn) from messages where task_id = $1) + 1, $2) turn,
           unnest(array['user', 'agent']) role`,
        [taskId, turn - 1],
      );
      await pool.query('update gates set turn = $2, last_turn = $2 where task_id = $1', [taskId, turn - 1]);
      await acceptFollowUp(db, options, newFollowUp(taskId));
      await pool.query('vacuum analyze messages');
    };
    const blocks: [claim: number, history: number][] = [];
    for (const turn of [150, 1500]) {
      await continueAt(turn);
      const claiming = await countBlocks(pool, async () => {
        claimed = await claimTask(db, taskId);
      });
      assert.ok(claimed.content);
      const input = await createInputReader(db, { recordBytes })(claimed, memory);
      const reading = await countBlocks(pool, async () => {
        assert.equal((await input.readHistory(100)).exchanges.length, 100);
      });
      blocks.push([claiming, reading]);
    }
    const [short, long] = blocks;
    assert.ok(short && long);
    assert.ok(long[0] <= 20, `a claim read ${long[0]} blocks`);
    assert.ok(long[1] <= short[1] * 1.5, `the history read ${long[1]} blocks, of a short task ${short[1]}`);
  });

  /** Counts the blocks of messages and of its indexes that a function reads, in memory or on disk. */
  async function countBlocks(pool: Pool, act: () => Promise<unknown>): Promise<number> {
    const count = async (): Promise<number> => {
      const { rows } = await pool.query<{ blocks: string }>(
        `select heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit as blocks
         from pg_statio_user_tables where relname = 'messages'`,
      );
      return Number(rows[0]?.blocks);
    };
    const flush = (): Promise<unknown> => pool.query('select pg_stat_force_next_flush()');
    await flush();
    const from = await count();
    await act();
    await flush();
    return (await count()) - from;
  }
});
