/** What a task used: told to its client, counted for its owner, shown to the operator, and bounded by the day. */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { usageExtension, totalOf, type Usage } from '#shared/domain/usage.ts';
import { runNode } from '../support/processes.ts';
import { isCompleted, startStack } from '../support/stack.ts';

test('from the step to the client, the ledger and the limit of the day', { timeout: 60_000 }, async (t) => {
  const agentFile = path.join(mkdtempSync(path.join(tmpdir(), 'longhaul-test-agent-')), 'agent.yaml');
  writeFileSync(
    agentFile,
    `name: Adder
description: Adds.
version: "1"
skills: [{ id: add, name: Add, description: Adds., tags: [] }]
instruction: Add.
limits: { ownerTokensPerDay: 10 }
prices: { gemini-3.8-flash: { input: 1000, output: 2000 } }
`,
  );
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
    'the event at the end of the turn says so too',
  );
  const card = (await (await fetch(`${stack.apiUrl}/.well-known/agent-card.json`)).json()) as {
    capabilities: { extensions: { uri: string }[] };
  };
  assert.ok(card.capabilities.extensions.some(({ uri }) => uri === usageExtension));

  const next = await stack.submit('What is 2 + 2?');
  const stopped = await stack.until(next.id, ({ status }) => status.state === 'TASK_STATE_FAILED');
  assert.match(stopped.status.message?.parts[0].text, /limit of 10 tokens a day for all tasks of one owner/);
  assert.equal(stopped.metadata, undefined);
  assert.equal(stack.model.log().length, 1, 'no call was made');

  const admin = async (...args: string[]) => {
    const running = runNode(t, ['services/admin/main.ts', 'usage', ...args], { env: stack.env });
    const { code } = await running.exited;
    return { code, output: running.output() };
  };
  const [line] = JSON.parse((await admin('--json')).output);
  assert.equal(line.model, 'gemini-3.8-flash');
  assert.deepEqual([line.calls, line.promptTokens, line.outputTokens], [1, prompt, output]);
  assert.equal(line.promptTokens + line.outputTokens, totalOf(usage.tokens));
  const table = (await admin('--by', 'owner,day')).output.split('\n');
  assert.match(table[0] ?? '', /^owner +day +calls +prompt +cached +tool +thoughts +output +cost$/);
  assert.match(table[1] ?? '', new RegExp(`^\\S+ +\\S+ +1 +${prompt} .* ${usage.cost.toFixed(4)}$`));
  for (const bad of [
    ['--by', 'task'],
    ['--since', '2026-02-30'],
    ['--since', '2026-11-02', '--until', '2026-11-01'],
    ['x'],
  ]) {
    const { code, output: said } = await admin(...bad);
    assert.equal(code, 1);
    assert.match(said, /usage takes --since and --until/);
  }
});
