/** Tasks of hosts of MCP and of MCP servers, while the api and workers are killed. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { minimalDefinition } from '../../support/agents/definition.ts';
import { startMcpTasks } from '../../support/fakes/mcp-tasks.ts';
import { callMcp, knowsTasks, postMcp, type Json } from '../../support/clients/mcp.ts';
import { postJsonRpc } from '../../support/clients/json-rpc.ts';
import { getStepRuns, startScriptedStack } from '../../support/services/scripted-stack.ts';
import { readSse } from '../../support/clients/sse.ts';
import { isCompleted, startStack, type Stack } from '../../support/stack.ts';
import { writeTempFile } from '../../support/temp-dir.ts';
import { isWaiting } from '../../support/database/waiting-tasks.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startReceiver, type Receiver } from '../../support/webhooks/receiver.ts';

/** The statuses of MCP for the states of A2A. */
const statuses: Record<string, string> = {
  TASK_STATE_SUBMITTED: 'working',
  TASK_STATE_WORKING: 'working',
  TASK_STATE_INPUT_REQUIRED: 'input_required',
  TASK_STATE_COMPLETED: 'completed',
};

describe('a task over MCP', () => {
  test('outlives the api and the worker, and shows all followers the same states', async (t) => {
    const agentFile = path.resolve(import.meta.dirname, '../../conformance/agent.yaml');
    const { stack, tool } = await startScriptedStack(t, { AGENT_FILE: agentFile });
    const receiver = await startReceiver(t);
    const [firstApi] = await Promise.all([stack.start('api'), stack.start('dispatcher')]);
    const call = (method: string, params: Json) =>
      callMcp(stack.apiUrl, method, params, { capabilities: knowsTasks });
    const { result: created } = await call('tools/call', {
      name: 'tck',
      arguments: { text: 'step one\nask Continue?' },
    });
    assert.equal(created.resultType, 'task');
    const { taskId } = created;
    await stack.rpc('CreateTaskPushNotificationConfig', { taskId, url: receiver.url });
    const seen: string[] = [];
    const poll = async (): Promise<Json> => {
      const { result } = await call('tasks/get', { taskId });
      if (result !== undefined && seen.at(-1) !== result.status) seen.push(result.status);
      return result;
    };
    const until = (status: string): Promise<Json> =>
      waitFor(status, async () => {
        const task = await poll().catch(() => undefined);
        return task?.status === status ? task : undefined;
      });
    await poll();
    const followers = [followOverA2a(stack, taskId), followOverMcp(stack, taskId)];
    const firstWorker = await stack.start('worker');
    const { inputRequests } = await until('input_required');

    // The api dies: another one knows the task, and asks under the same key.
    await firstApi.kill();
    await stack.start('api');
    const again = await until('input_required');
    assert.deepEqual(again.inputRequests, inputRequests);
    const [key = ''] = Object.keys(inputRequests);
    const answer = 'step two\nwait 2000\nstep three\nsay done';
    const inputResponses = { [key]: { action: 'accept', content: { answer } } };
    await call('tasks/update', { taskId, inputResponses });

    // The worker dies after a step: another one continues after it.
    await waitFor('the record of step two', async () => {
      const { rows } = await stack.pool.query(
        `select from steps where task_id = $1 and name = 'two' and finished_at is not null`,
        [taskId],
      );
      return rows.length > 0;
    });
    await poll();
    await firstWorker.kill();
    await stack.endLeases('worker');
    await stack.start('worker');
    const { result } = await until('completed');
    assert.equal(result.content[0].text, 'done');
    assert.deepEqual(getStepRuns(tool, taskId).toSorted(), ['1/one/0', '2/three/0', '2/two/0']);
    const states = ['working', 'input_required', 'working', 'completed'];
    const all = [seen, ...(await Promise.all(followers)), await waitForWebhooks(receiver)];
    assert.deepEqual(all, [states, states, states, states]);
  });
});

describe('a tool that answers with a task', () => {
  test('is called once, waited for without a worker, and canceled with our task', async (t) => {
    const tools = await startMcpTasks(t, '2026-07-28');
    const mcpServers = { it: { url: tools.server.url } };
    const definition = JSON.stringify({ ...minimalDefinition, tools: [], mcpServers });
    const agentFile = writeTempFile(t, 'agent.yaml', definition);
    const stack = await startStack(t, { AGENT_FILE: agentFile });
    const [, worker] = await Promise.all([stack.start('api'), stack.start('worker')]);
    const { id } = await stack.submit('Use the tool convert with {}');
    const waiting = await stack.until(id, isWaiting);
    assert.match(waiting.status.message.parts[0].text, /^Waiting for the tool "convert" until /);
    await worker.kill();
    const [task = assert.fail()] = [...tools.tasks.values()];
    Object.assign(task, {
      status: 'completed',
      result: { content: [{ type: 'text', text: 'seven pages' }] },
    });
    await stack.endLeases('worker');
    await stack.start('worker');
    const ended = await stack.until(id, isCompleted);
    assert.match(JSON.stringify(ended.artifacts), /seven pages/);
    assert.deepEqual(tools.server.calls, ['convert']);

    const other = await stack.submit('Use the tool convert with {}');
    await stack.until(other.id, isWaiting);
    await stack.rpc('CancelTask', { id: other.id });
    const [, second] = [...tools.tasks.keys()];
    await waitFor('the cancel', () => tools.canceled.includes(second ?? ''));
  });
});

/** Returns the statuses that streams of A2A show until the end: one ends at a question, and with the api. */
function followOverA2a(stack: Stack, taskId: string): Promise<string[]> {
  return follow(async (seen) => {
    const response = await postJsonRpc(stack.apiUrl, 'SubscribeToTask', { id: taskId });
    for await (const { data } of readSse(response)) {
      const { task, statusUpdate } = data.result;
      add(seen, (task ?? statusUpdate)?.status?.state);
    }
  });
}

/** Returns the statuses that `notifications/tasks` report until the end. */
function followOverMcp(stack: Stack, taskId: string): Promise<string[]> {
  return follow(async (seen) => {
    const params = { notifications: { taskIds: [taskId] } };
    const options = { capabilities: knowsTasks };
    const response = await postMcp(stack.apiUrl, 'subscriptions/listen', params, options);
    for await (const { data } of readSse(response)) {
      if (data.method !== 'notifications/tasks') continue;
      const { status } = data.params;
      if (seen.at(-1) !== status) seen.push(status);
    }
  });
}

/** Opens streams, one after the other, until the task has completed. */
async function follow(readStream: (seen: string[]) => Promise<void>): Promise<string[]> {
  const seen: string[] = [];
  await waitFor('the end', async () => {
    await readStream(seen).catch(() => undefined);
    return seen.at(-1) === 'completed';
  });
  return seen;
}

/** Returns the statuses of the webhooks in the order of their events, once the last one has arrived. */
async function waitForWebhooks(receiver: Receiver): Promise<string[]> {
  await receiver.match(/TASK_STATE_COMPLETED/);
  const seen: string[] = [];
  for (const { body } of receiver.received) {
    const { task, statusUpdate } = JSON.parse(body);
    add(seen, (task ?? statusUpdate)?.status?.state);
  }
  return seen;
}

function add(seen: string[], state: string | undefined): void {
  const status = state === undefined ? undefined : statuses[state];
  if (status !== undefined && seen.at(-1) !== status) seen.push(status);
}
