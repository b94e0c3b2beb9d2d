/** The model usage of a task: reported to its client, and limited for each owner and day. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { usageExtension, type Usage } from '#shared/domain/usage.ts';
import { writeAgentFile } from '../support/agents/definition.ts';
import { isCompleted, startStack } from '../support/stack.ts';

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
