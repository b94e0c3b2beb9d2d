/** Clients of the SDK and of its package for tasks, in both revisions, over HTTP on a real database. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { resultFromTaskOutcome } from '@modelcontextprotocol/ext-tasks/client';
import { approvalExtension, createApprovalPart, createApprovalRequest } from '#shared/agent/approval.ts';
import { aliceKey, apiKeysEnv } from '../../support/services/api-keys.ts';
import { startApiService, type TestApiService } from '../../support/services/api-service.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { connectClient, openTaskSession, type Revision } from '../../support/clients/mcp-clients.ts';
import { callMcp, type Json } from '../../support/clients/mcp.ts';
import { playTurn } from '../../support/database/tasks.ts';
import { waitFor } from '../../support/wait-for.ts';

const revisions: Revision[] = ['2026-07-28', '2025-11-25'];

describe('clients of MCP', () => {
  const cleanup = createSuiteCleanup();
  let api: TestApiService;
  before(async () => {
    api = await startApiService(cleanup, { ...apiKeysEnv(), SEND_WAIT_SECONDS: '0' });
  });

  for (const revision of revisions) {
    test(`call, poll and read the result of a tool in ${revision}`, async () => {
      const client = await connectClient(api.url, aliceKey, revision);
      const { tools } = await client.listTools();
      const started = await client.callTool({ name: tools[0]!.name, arguments: { text: 'work' } });
      const { taskId } = started.structuredContent as Json;
      const waiting = client.callTool({ name: 'get_task', arguments: { taskId, waitSeconds: 60 } });
      const turn = await playTurn(api.db, taskId);
      await turn.artifact([{ text: 'done' }]);
      await turn.end({ state: 'TASK_STATE_COMPLETED' });
      const { content } = await waiting;
      assert.deepEqual(content, [{ type: 'text', text: 'done' }]);
      await client.close();
    });

    test(`submit, poll and read a task in ${revision}`, async () => {
      const client = await connectClient(api.url, aliceKey, revision);
      const { tools } = await client.listTools();
      const session = openTaskSession(client, api.url, aliceKey);
      const execution = await session.callTool(
        tools[0]!.name,
        { text: 'work' },
        { task: { preference: 'prefer' } },
      );
      assert.equal(execution.kind, 'task');
      const turn = await playTurn(api.db, execution.handle.taskId);
      await turn.artifact([{ text: 'done' }]);
      await turn.end({ state: 'TASK_STATE_COMPLETED' });
      const { outcome } = await execution.settle();
      const result = resultFromTaskOutcome(outcome) as Json;
      assert.equal(result.content[0].text, 'done');
      await session.close();
      await client.close();
    });

    test(`approve a call with answer_task in ${revision}`, async () => {
      const client = await connectClient(api.url, aliceKey, revision);
      const { tools } = await client.listTools();
      const started = await client.callTool({ name: tools[0]!.name, arguments: { text: 'work' } });
      const { taskId } = started.structuredContent as Json;
      const requests = await askForApproval(taskId);
      const asked = await client.callTool({ name: 'get_task', arguments: { taskId } });
      const { state, approvals } = asked.structuredContent as Json;
      assert.deepEqual(
        [state, ...approvals.map(({ tool }: Json) => tool)],
        ['auth-required', 'cancel_order', 'refund'],
      );
      const decisions = approvals.map(({ id, argumentsHash }: Json, index: number) => ({
        id,
        argumentsHash,
        approve: index === 0,
      }));
      await client.callTool({ name: 'answer_task', arguments: { taskId, decisions } });
      assert.deepEqual(await readDecisions(taskId), decisions);
      assert.deepEqual(
        decisions.map(({ id }: Json) => id),
        requests.map(({ id }) => id),
      );
      await client.close();
    });

    test(`cancel a task in ${revision}`, async () => {
      const client = await connectClient(api.url, aliceKey, revision);
      const { tools } = await client.listTools();
      const session = openTaskSession(client, api.url, aliceKey);
      const execution = await session.callTool(
        tools[0]!.name,
        { text: 'work' },
        { task: { preference: 'prefer' } },
      );
      await execution.cancel();
      const { state } = await api.db
        .selectFrom('tasks')
        .select('state')
        .where('id', '=', execution.handle!.taskId)
        .executeTakeFirstOrThrow();
      assert.equal(state, 'TASK_STATE_CANCELED');
      await session.close();
      await client.close();
    });
  }

  test('answer a question of a task in 2026-07-28', async () => {
    const client = await connectClient(api.url, aliceKey, '2026-07-28');
    const { tools } = await client.listTools();
    const asked: string[] = [];
    const session = openTaskSession(client, api.url, aliceKey, {
      onInputRequest: (async ({ params }: Json) => {
        asked.push(params.message);
        return { action: 'accept', content: { answer: 'The red one' } };
      }) as never,
    });
    const execution = await session.callTool(tools[0]!.name, { text: 'work' });
    const { taskId } = execution.handle!;
    const settled = execution.settle();
    await (await playTurn(api.db, taskId)).end({ state: 'TASK_STATE_INPUT_REQUIRED', message: 'Which one?' });
    const turn = await untilAnswered(taskId);
    await turn.artifact([{ text: 'red it is' }]);
    await turn.end({ state: 'TASK_STATE_COMPLETED' });
    const result = resultFromTaskOutcome((await settled).outcome) as Json;
    assert.deepEqual([asked, result.content[0].text], [['Which one?'], 'red it is']);
    await session.close();
    await client.close();
  });

  test('get the same introduction on both ways of an answer', async () => {
    const name = 'get_task';
    const call = (method: string, params: Json) => callMcp(api.url, method, params, { headers: aliceKey });
    const answers = [await call('server/discover', {}), await call('tools/call', { name, arguments: {} })];
    const [bySdk, direct] = answers.map(({ result }) => result._meta['io.modelcontextprotocol/serverInfo']);
    assert.ok(direct.description);
    assert.deepEqual(direct, bySdk);
  });

  test('approve calls of a task in 2026-07-28', async () => {
    const client = await connectClient(api.url, aliceKey, '2026-07-28');
    const { tools } = await client.listTools();
    const session = openTaskSession(client, api.url, aliceKey, {
      onInputRequest: (async ({ params }: Json) =>
        params.message.includes('cancel_order')
          ? { action: 'accept', content: { approve: true, note: 'go ahead' } }
          : { action: 'decline' }) as never,
    });
    const execution = await session.callTool(tools[0]!.name, { text: 'work' });
    const { taskId } = execution.handle!;
    const settled = execution.settle();
    const [first, second] = await askForApproval(taskId);
    const turn = await untilAnswered(taskId);
    await turn.end({ state: 'TASK_STATE_COMPLETED' });
    await settled;
    assert.deepEqual(await readDecisions(taskId), [
      { id: first!.id, argumentsHash: first!.argumentsHash, approve: true, reason: 'go ahead' },
      { id: second!.id, argumentsHash: second!.argumentsHash, approve: false },
    ]);
    await session.close();
    await client.close();
  });

  /** Ends the turn of a task with two calls that need approval. */
  async function askForApproval(taskId: string): Promise<ReturnType<typeof createApprovalRequest>[]> {
    const requests = ['cancel_order', 'refund'].map((tool, index) =>
      createApprovalRequest(`1.1.${index}`, tool, { order: '1002' }),
    );
    const message = [{ text: 'Approve?' }, createApprovalPart(requests)];
    await (await playTurn(api.db, taskId)).end({ state: 'TASK_STATE_AUTH_REQUIRED', message });
    return requests;
  }

  async function readDecisions(taskId: string): Promise<Json> {
    const { message } = await api.db
      .selectFrom('messages')
      .select('message')
      .where('task_id', '=', taskId)
      .where('turn', '=', 2)
      .executeTakeFirstOrThrow();
    return (message as Json).parts.find(({ data }: Json) => data !== undefined).data[approvalExtension]
      .decisions;
  }

  /** Claims the turn of the answer once it is there. */
  async function untilAnswered(taskId: string): ReturnType<typeof playTurn> {
    await waitFor('the answer', async () => {
      const gate = api.db.selectFrom('gates').select('last_turn').where('task_id', '=', taskId);
      return (await gate.executeTakeFirstOrThrow()).last_turn === 2;
    });
    return playTurn(api.db, taskId);
  }
});
