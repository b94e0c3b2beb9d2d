/** The Batch API with real processes: a worker that dies behind a creation does not make Google work twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { isCompleted, startStack } from '../../support/stack.ts';

test('a batch is created once if its worker dies before it records it', { timeout: 120_000 }, async (t) => {
  const model = { name: 'gemini-3.8-flash', serviceTier: 'batch', batch: { collectSeconds: 1 } };
  const stack = await startStack(t, { AGENT_FILE: writeAgentFile(t, { model, tools: [] }) });
  const [dying] = await Promise.all([
    stack.start('worker', { FAULT_POINT: 'batch-created' }),
    stack.start('api', { GEMINI_WEBHOOK_JWKS_URL: `${stack.model.url}/.well-known/jwks.json` }),
  ]);
  stack.model.script([{ match: 'batch', reactions: [{ chunks: ['done'] }], repeat: true }]);
  const tasks = await Promise.all(['batch a', 'batch b'].map((text) => stack.submit(text)));
  await dying.running.exited;
  const { rows } = await stack.pool.query('select name from batches');
  assert.deepEqual(rows, [{ name: null }]);
  await stack.start('worker');
  // A worker has two minutes for a batch that it has claimed.
  await stack.pool.query('update batches set due_at = now()');
  for (const { id } of tasks) {
    const { artifacts } = await stack.until(id, isCompleted);
    assert.equal(artifacts?.[0]?.parts[0]?.text, 'done');
  }
  assert.equal(stack.model.batches.created, 1);
  const { rows: counted } = await stack.pool.query('select sum(calls)::int as calls from ledger');
  assert.deepEqual(counted, [{ calls: 2 }]);
});
