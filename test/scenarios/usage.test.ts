/** The model usage of a task: reported to its client, and limited for each owner and day. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { usageExtension, type Usage } from '#shared/domain/usage.ts';
import { writeAgentFile } from '../support/agents/definition.ts';
import { isCompleted, startStack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

test('reports the usage of a task and limits its owner each day', { timeout: 150_000 }, async (t) => {
  const agentFile = writeAgentFile(t, {
    limits: { ownerTokensPerDay: 10 },
    prices: { 'gemini-3.8-flash': { input: 1000, output: 2000 } },
  });
  const stack = await startStack(t, { AGENT_FILE: agentFile });
  await Promise.all([stack.start('api'), stack.start('worker')]);

  const task = await stack.submit('What is 12 * (3 + 4)?', { metadata: { theirs: true } });
  const done = await stack.until(task.id, isCompleted);
  const usage = done.metadata?.[usageExtension] as Usage;
  const { prompt, output } = usage.tokens;
  assert.ok(prompt > 0 && output > 0);
  assert.deepEqual(done.metadata, {
    theirs: true,
    [usageExtension]: {
      calls: 1,
      tokens: { prompt, cached: 0, tool: 0, thoughts: 0, output },
      cost: (prompt * 1000 + output * 2000) / 1_000_000,
      unpriced: 0,
    },
  });
  const { rows } = await stack.pool.query<{ metadata: object }>(
    `select payload -> 'statusUpdate' -> 'metadata' as metadata from events
     where task_id = $1 order by seq desc limit 1`,
    [task.id],
  );
  assert.deepEqual(
    rows[0]?.metadata,
    { [usageExtension]: usage },
    'the last event of the turn has the usage too',
  );
  const card = (await (await fetch(`${stack.apiUrl}/.well-known/agent-card.json`)).json()) as {
    capabilities: { extensions: { uri: string }[] };
  };
  assert.ok(card.capabilities.extensions.some(({ uri }) => uri === usageExtension));

  const next = await stack.submit('What is 2 + 2?');
  const stopped = await stack.until(next.id, ({ status }) => status.state === 'TASK_STATE_FAILED');
  assert.match(
    stopped.status.message?.parts[0].text,
    /limit of 10 tokens per day for all tasks of one owner/,
  );
  assert.equal(stopped.metadata, undefined);
  assert.equal(stack.model.log().length, 1, 'the second task made no call');
});

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
