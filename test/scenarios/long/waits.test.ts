/** A task that waits for its user exists only in the database, so other processes can continue it with the answer. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { approvalExtension, type ApprovalRequest } from '#shared/agent/approval.ts';
import type { Responder } from '#services/local/offline-model/responder.ts';
import { createCallReply, createTextReply } from '#services/local/offline-model/reply.ts';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { startMcpServer } from '../../support/fakes/mcp-server.ts';
import { isCompleted, startStack, type RunningService } from '../../support/stack.ts';

/** Calls a tool, asks the user, calls a tool that needs approval, and answers with all results. */
const responder: Responder = ({ contents }) => {
  const results = contents.flatMap(({ parts = [] }) => parts.flatMap((part) => part.functionResponse ?? []));
  switch (results.length) {
    case 0:
      return createCallReply([{ name: 'get-sum', args: { a: 1, b: 2 } }]);
    case 1:
      return createCallReply([{ name: 'ask_user', args: { question: 'Which word?' } }]);
    case 2:
      return createCallReply([{ name: 'echo', args: { message: results[1]?.response?.['answer'] } }]);
    default:
      return createTextReply(results.map(({ response }) => JSON.stringify(response)).join('\n'));
  }
};

// [AUTH-INTASK-001] [AUTH-INTASK-002] [AUTH-INTASK-003]
test('continues a task in new processes after each answer', { timeout: 150_000 }, async (t) => {
  const server = await startMcpServer(t);
  const agentFile = writeAgentFile(t, { mcpServers: { all: { url: server.url, confirm: ['echo'] } } });
  const stack = await startStack(t, { AGENT_FILE: agentFile }, responder);
  let running: RunningService[] = [];
  const restart = async () => {
    await Promise.all(running.map((service) => service.kill()));
    running = await Promise.all([stack.start('api'), stack.start('worker')]);
  };
  const reply = async (taskId: string, message: object) => {
    const { error } = await stack.rpc('SendMessage', {
      message: { messageId: randomUUID(), role: 'ROLE_USER', taskId, ...message },
      configuration: { returnImmediately: true },
    });
    assert.equal(error, undefined);
  };

  await restart();
  const { id } = await stack.submit('go');
  const asking = await stack.until(id, (task) => task.status.state === 'TASK_STATE_INPUT_REQUIRED');
  assert.equal(asking.status.message?.parts[0].text, 'Which word?');
  assert.equal(asking.artifacts, undefined);

  await restart();
  await reply(id, { parts: [{ text: 'hello' }] });
  const confirming = await stack.until(id, (task) => task.status.state === 'TASK_STATE_AUTH_REQUIRED');
  assert.match(confirming.status.message?.parts[0].text, /approval to call:\n- echo \{"message":"hello"\}/);
  assert.deepEqual(confirming.status.message.extensions, [approvalExtension]);
  const { requests } = confirming.status.message.parts[1].data[approvalExtension] as {
    requests: ApprovalRequest[];
  };

  await restart();
  const decisions = requests.map(({ id, argumentsHash }) => ({ id, argumentsHash, approve: true }));
  const metadata = { [approvalExtension]: { decisions } };
  await reply(id, { parts: [{ text: 'yes' }], metadata, extensions: [approvalExtension] });
  const done = await stack.until(id, isCompleted);
  assert.equal(
    done.artifacts?.[0]?.parts[0]?.text,
    '{"output":"The sum of 1 and 2 is 3."}\n{"answer":"hello"}\n{"output":"Echo: hello"}',
  );
  assert.deepEqual(
    server.calls.map(({ name }) => name),
    ['get-sum', 'echo'],
    'no tool is called twice',
  );
  const card = (await (await fetch(`${stack.apiUrl}/.well-known/agent-card.json`)).json()) as {
    capabilities: { extensions?: { uri: string }[] };
  };
  assert.ok(card.capabilities.extensions?.some(({ uri }) => uri === approvalExtension));
});
