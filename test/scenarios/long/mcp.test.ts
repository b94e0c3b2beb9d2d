/**
 * A task of many steps on a real MCP server, whose worker is killed three times during a call. Finished calls are not
 * repeated; a call in flight at a kill is made at most once more, under the same key.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCallReply, createTextReply } from '#services/local/offline-model/reply.ts';
import type { Responder } from '#services/local/offline-model/responder.ts';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { startMcpServer } from '../../support/fakes/mcp-server.ts';
import { isCompleted, startStack } from '../../support/stack.ts';

const steps = 15;
const killedIn = [4, 8, 12];

/** Calls the sum tool of the server, or a slow tool in the steps of `killedIn`. */
const responder: Responder = ({ contents }) => {
  const results = contents.flatMap(({ parts = [] }) => parts.flatMap((part) => part.functionResponse ?? []));
  if (results.length >= steps)
    return createTextReply(results.map(({ response }) => String(response?.['output'])).join('\n'));
  const count = results.length + 1;
  return killedIn.includes(count)
    ? createCallReply([{ name: 'trigger-long-running-operation', args: { duration: 0.5, steps: count } }])
    : createCallReply([{ name: 'get-sum', args: { a: count, b: count } }]);
};

test('repeats only the MCP calls in flight when a worker is killed', { timeout: 150_000 }, async (t) => {
  const server = await startMcpServer(t);
  const agentFile = writeAgentFile(t, {
    mcpServers: { all: { url: server.url, headers: { authorization: 'Bearer ${env:ADDER_TOKEN}' } } },
  });
  // Long leases, so that only killed workers lose theirs: calls are counted.
  const env = { AGENT_FILE: agentFile, ADDER_TOKEN: 'secret', LEASE_SECONDS: '60' };
  const stack = await startStack(t, env, responder);
  await stack.start('api');
  let worker = await stack.start('worker');
  const { id } = await stack.submit('add up');

  const killedAt: string[] = [];
  for (const count of killedIn) {
    const inFlight = await server.call(count + killedAt.length);
    assert.equal(inFlight.name, 'trigger-long-running-operation');
    assert.equal(inFlight.answered, false, 'the worker is killed during the call');
    await worker.kill();
    await stack.endLeases('worker');
    killedAt.push(inFlight.key);
    worker = await stack.start('worker');
  }

  const task = await stack.until(id, isCompleted);
  const text = task.artifacts?.[0]?.parts[0]?.text ?? '';
  assert.equal(text.match(/The sum of \d+ and \d+ is \d+/g)?.length, steps - killedIn.length);
  assert.equal(text.match(/Long running operation completed/g)?.length, killedIn.length);
  const counts = new Map(
    [...Map.groupBy(server.calls, ({ key }) => key)].map(([key, calls]) => [key, calls.length]),
  );
  assert.equal(counts.size, steps, 'one key for each step');
  for (const [key, count] of counts) assert.equal(count, killedAt.includes(key) ? 2 : 1, key);
  assert.equal(new Set(killedAt).size, killedIn.length);
  assert.ok(server.calls.every(({ headers }) => headers['authorization'] === 'Bearer secret'));
  const { rows } = await stack.pool.query<{ stored: string }>(
    'select definition::text as stored from agents',
  );
  assert.ok(
    rows.every(({ stored }) => !stored.includes('Bearer secret')),
    'secrets are not stored',
  );
});
