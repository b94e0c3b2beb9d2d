/**
 * A task of many steps on a real MCP server, its worker killed three times in the middle of a call: it finishes, no
 * finished call is made again, and one that was in flight at a kill at most once more, under the same key.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { Responder } from '#services/local/offline-model/responder.ts';
import { call, say } from '#services/local/offline-model/reply.ts';
import { startMcpServer } from '../support/fakes/mcp-server.ts';
import { isCompleted, startStack } from '../support/stack.ts';

const steps = 15;
const killedIn = [4, 8, 12];

/** Adds up 1 + 2 + … by the server's tool; every fourth call is a slow one. */
const adding: Responder = ({ contents }) => {
  const answers = contents.flatMap(({ parts = [] }) => parts.flatMap((part) => part.functionResponse ?? []));
  if (answers.length >= steps)
    return say(answers.map(({ response }) => String(response?.['output'])).join('\n'));
  const count = answers.length + 1;
  return killedIn.includes(count)
    ? call([{ name: 'trigger-long-running-operation', args: { duration: 0.5, steps: count } }])
    : call([{ name: 'get-sum', args: { a: count, b: count } }]);
};

test('fifteen steps on an MCP server, its worker killed three times', { timeout: 150_000 }, async (t) => {
  const server = await startMcpServer(t);
  const directory = mkdtempSync(path.join(tmpdir(), 'longhaul-test-agent-'));
  const agentFile = path.join(directory, 'agent.yaml');
  writeFileSync(
    agentFile,
    `name: Adder
description: Adds.
version: "1"
skills: [{ id: add, name: Add, description: Adds., tags: [] }]
instruction: Add.
mcpServers:
  all:
    url: ${server.url}
    headers: { authorization: "Bearer \${env:ADDER_TOKEN}" }
`,
  );
  // Nobody but who is killed is to lose a lease: calls are counted.
  const env = { AGENT_FILE: agentFile, ADDER_TOKEN: 'secret', LEASE_SECONDS: '60' };
  const stack = await startStack(t, env, adding);
  await stack.start('api');
  let worker = await stack.start('worker');
  const { id } = await stack.submit('add up');

  const killedAt: string[] = [];
  for (const count of killedIn) {
    const inFlight = await server.call(count + killedAt.length);
    assert.equal(inFlight.name, 'trigger-long-running-operation');
    assert.equal(inFlight.answered, false, 'it is killed in the middle of the call');
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
