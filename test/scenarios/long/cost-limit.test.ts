/** Turns at the cost limit of their owner wait until the limit allows them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCompleted, startStack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

test('parks turns at the cost limit of their owner until it allows them', { timeout: 150_000 }, async (t) => {
  const stack = await startStack(t);
  await Promise.all([
    stack.start('api'),
    stack.start('worker', { OWNER_MAX_MODEL_COST_PER_DAY: '1' }),
    stack.pool.query(
      `insert into ledger (tenant, owner, day, model, calls, prompt_tokens, cached_tokens, tool_tokens,
         thought_tokens, output_tokens, cost, unpriced)
       values ('another', 'anonymous', (now() at time zone 'utc')::date, 'm', 1, 1, 0, 0, 0, 1, 1, 0)`,
    ),
  ]);
  const { id } = await stack.submit('What is 2 + 2?');
  const waiting = await stack.until(id, ({ status }) => status.message !== undefined);
  assert.equal(waiting.status.state, 'TASK_STATE_WORKING');
  assert.match(
    waiting.status.message?.parts[0].text,
    /^Waiting until \d{4}-\d\d-\d\dT00:00Z: your limit of 1 for the cost of model calls in a day/,
  );
  const limits = JSON.stringify({ modelCostPerDay: 2 });
  await stack.pool.query('insert into owner_limits (owner, limits) values ($1, $2)', ['anonymous', limits]);
  // The turn would ask again after minutes. Here it asks at once, until the worker knows the new limit.
  await waitFor('the turn to run', async () => {
    await stack.pool.query('update gates set run_at = now(), wakeup_at = now() where run_at > now()');
    return isCompleted(await stack.until(id, () => true));
  });
  const { rows } = await stack.pool.query(
    `select count(*)::int as count from events where task_id = $1 and kind = 'progress'`,
    [id],
  );
  assert.deepEqual(rows, [{ count: 1 }], 'the client sees the reason once');
});
