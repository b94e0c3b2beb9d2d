/** A coding agent finds the cause of what goes wrong by its tools alone, over both transports, in a whole system. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client } from '@modelcontextprotocol/client';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { runCli } from '../../../support/clients/cli.ts';
import { connectClient } from '../../../support/clients/mcp-clients.ts';
import type { Json } from '../../../support/clients/mcp.ts';
import { isCompleted, startStack, type Stack } from '../../../support/stack.ts';
import { writeTempFile } from '../../../support/temp-dir.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { startReceiver } from '../../../support/webhooks/receiver.ts';

const timeout = 60_000;
const cli = fileURLToPath(new URL('../../../../services/cli/main.ts', import.meta.url));

describe('tools of a coding agent', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  const clients: Record<string, Client> = {};
  before(async () => {
    const orders = readFileSync('docs/agents/orders.yaml', 'utf8')
      .replace('toolCalls: 20', 'toolCalls: 1')
      .replace('./orders-tools.ts', path.resolve('docs/agents/orders-tools.ts'));
    stack = await startStack(cleanup, { AGENT_FILE: writeTempFile(cleanup, 'orders.yaml', orders) });
    await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
    clients['/mcp'] = await connectClient(stack.apiUrl, {}, '2026-07-28');
    clients['stdio'] = await connectOverStdio(stack.apiUrl);
    cleanup.after(() => Promise.all(Object.values(clients).map((client) => client.close())));
  });

  async function connectOverStdio(url: string): Promise<Client> {
    const { PATH = '' } = process.env;
    const env = { PATH, HOME: '/nonexistent', LONGHAUL_URL: url };
    const client = new Client({ name: 'test', version: '1' });
    await client.connect(new StdioClientTransport({ command: process.execPath, args: [cli, 'mcp'], env }));
    return client;
  }

  test('approve a call as docs/use/mcp.md shows, with the tool and with the form', { timeout }, async () => {
    const page = readFileSync('docs/use/mcp.md', 'utf8');
    const [answer, start, get, update] = [...page.matchAll(/^```sh\n(curl .*?)^```/gms)].map(
      ([, code = '']) => code,
    );
    const asked = await stack.submit('Use cancel_order with {"order": "1002"}');
    await stack.until(asked.id, ({ status }) => status.state === 'TASK_STATE_AUTH_REQUIRED');
    const [, documented = ''] = /^```json\n(\{\n  "state.*?)^```/ms.exec(page) ?? [];
    const read: Json = await clients['/mcp']!.callTool({
      name: 'get_task',
      arguments: { taskId: asked.id },
    });
    const { state, approvals } = read.structuredContent;
    assert.deepEqual({ state, approvals }, JSON.parse(documented));
    const [, done] = await runExamples(answer, { TASK_ID: asked.id });
    assert.equal(done.structuredContent.state, 'completed');

    const [{ taskId, resultType }] = await runExamples(start);
    assert.equal(resultType, 'task');
    const until = (status: string): Promise<Json> =>
      waitFor(status, async () => {
        const [task] = await runExamples(get, { TASK_ID: taskId });
        return task.status === status ? task : undefined;
      });
    const [key = ''] = Object.keys((await until('input_required')).inputRequests);
    await runExamples(update, { TASK_ID: taskId, '"KEY"': `"${key}"` });
    assert.notEqual((await until('completed')).result.isError, true);
  });

  /** Runs an example of the documentation in a shell, and returns the results of its requests. */
  async function runExamples(code = '', values: Record<string, string> = {}): Promise<Json[]> {
    const filled = Object.entries({ 'http://localhost:8080': stack.apiUrl, ...values }).reduce(
      (text, [from, to]) => text.replaceAll(from, to),
      code,
    );
    const { stdout } = await promisify(execFile)('bash', ['-c', filled.replaceAll(/^curl/gm, 'echo; curl')]);
    const answers = stdout.matchAll(/^(?:data: )?(\{.*)$/gm);
    return [...answers].map(([, text = '']) => JSON.parse(text).result);
  }

  test('over stdio end with their client', { timeout }, async () => {
    const { status, stdout, stderr } = await runCli(['mcp'], { input: '' });
    assert.deepEqual([status, stdout], [0, ''], stderr);
  });

  for (const transport of ['/mcp', 'stdio']) {
    const ask = async (name: string, args: object): Promise<Json> => {
      const result: Json = await clients[transport]!.callTool({ name, arguments: args as Json });
      assert.notEqual(result.isError, true, result.content[0].text);
      return result;
    };

    test(`find the answer of a receiver that fails, over ${transport}`, { timeout }, async (t) => {
      const receiver = await startReceiver(t);
      receiver.answer(500);
      const host = new URL(receiver.url).host;
      const { id } = await stack.submit('Hello', {
        configuration: { taskPushNotificationConfig: { url: receiver.url } },
      });
      await receiver.count(1);
      const [webhook] = await waitFor('the failing webhook', async () => {
        const { structuredContent } = await ask('ops_webhooks', { health: 'failing', host });
        return structuredContent.webhooks.length > 0 ? structuredContent.webhooks : undefined;
      });
      assert.equal(webhook.taskId, id);
      const own = await ask('ops_webhooks', { taskId: id });
      const { content } = await ask('ops_deliveries', { taskId: webhook.taskId, webhook: webhook.id });
      for (const text of [own.content[0].text, content[0].text])
        assert.match(text, /status 500 .*answered: said so/);
      receiver.answer(200);
      await ask('ops_redeliver', { taskId: id, since: '10m' });
      await waitFor('a delivery', async () => {
        const { structuredContent } = await ask('ops_deliveries', { taskId: id, state: 'delivered' });
        return structuredContent.deliveries.length > 0 ? true : undefined;
      });
    });

    test(`find the error of a step and its input, over ${transport}`, { timeout }, async () => {
      const { id } = await stack.submit('Use order_state with {"order": "9999"}');
      await stack.until(id, isCompleted);
      const listed = await ask('ops_list_tasks', { state: 'completed', pageSize: 1 });
      assert.equal(listed.structuredContent.tasks[0].taskId, id);
      const answer = await ask('ops_get_task', { taskId: id });
      assert.match(answer.content[0].text, /^artifact .*order_state failed: There is no order 9999\./m);
      const { structuredContent } = await ask('ops_timeline', { taskId: id });
      const { name, occurrence } = structuredContent.steps.find((step: Json) =>
        step.name.startsWith('tool:'),
      );
      const found = await ask('ops_steps', { taskId: id, step: `${name}#${occurrence}` });
      const [step] = found.structuredContent.steps;
      assert.equal(step.input, '{"order":"9999"}');
      assert.match(step.output, /There is no order 9999\./);
    });

    test(`find the limit at which a task failed, over ${transport}`, { timeout }, async () => {
      const order = '{"order": "1001"}';
      const { id } = await stack.submit(`Use order_state with ${order} and cancel_order with ${order}`);
      await stack.until(id, ({ status }) => status.state === 'TASK_STATE_FAILED');
      const { structuredContent, content } = await ask('ops_list_tasks', { state: 'failed' });
      const [task] = structuredContent.tasks;
      assert.equal(task.taskId, id);
      assert.match(task.statusText, /^The turn was stopped at its limit of 1 tool calls\./);
      assert.match(
        content[0].text,
        /failed since .* says: The turn was stopped at its limit of 1 tool calls/,
      );
    });

    test(`find the call that waits for approval, over ${transport}`, { timeout }, async () => {
      const { id } = await stack.submit('Use cancel_order with {"order": "1002"}');
      await stack.until(id, ({ status }) => status.state === 'TASK_STATE_AUTH_REQUIRED');
      const listed = await ask('ops_list_tasks', { state: 'auth-required' });
      assert.equal(listed.structuredContent.tasks[0].taskId, id);
      const { content } = await ask('ops_get_task', { taskId: id });
      assert.match(content[0].text, /"tool":"cancel_order","arguments":\{"order":"1002"\}/);
      const canceled = await ask('ops_cancel', { taskIds: [id] });
      assert.equal(canceled.structuredContent.results[0].outcome, 'canceled');
    });
  }
});
