/** The tasks of MCP, of both revisions, over HTTP on a real database. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { approvalExtension, createApprovalPart, createApprovalRequest } from '#shared/agent/approval.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/services/api-keys.ts';
import { startApiService, type TestApiService } from '../../support/services/api-service.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import {
  callMcp,
  knowsTasks,
  postMcp,
  tasksExtension,
  type Json,
  type McpOptions,
} from '../../support/clients/mcp.ts';
import { readSse } from '../../support/clients/sse.ts';
import { playTurn } from '../../support/database/tasks.ts';
import { testLegacyTasks } from './tasks/legacy.ts';

const legacy = '2025-11-25';

describe('tasks over MCP', () => {
  const cleanup = createSuiteCleanup();
  let api: TestApiService;
  let skill: string;

  before(async () => {
    api = await startApiService(cleanup, { ...apiKeysEnv(), SEND_WAIT_SECONDS: '0.2', RETENTION_DAYS: '2' });
    skill = (await call('tools/list')).result.tools[0].name;
  });

  const call = (method: string, params: Json = {}, options: McpOptions = {}) =>
    callMcp(api.url, method, params, {
      capabilities: knowsTasks,
      ...options,
      headers: { ...aliceKey, ...options.headers },
    });

  async function start(text = 'work', options: McpOptions = {}): Promise<string> {
    const { result } = await call('tools/call', { name: skill, arguments: { text } }, options);
    assert.equal(result.resultType, 'task');
    return result.taskId;
  }

  const get = async (taskId: string): Promise<Json> => (await call('tasks/get', { taskId })).result;

  describe('of the extension', () => {
    test('answers a call with its task', async () => {
      const { result } = await call('tools/call', { name: skill, arguments: { text: 'work' } });
      const { taskId, createdAt, lastUpdatedAt, _meta, ...rest } = result;
      assert.deepEqual(rest, {
        resultType: 'task',
        status: 'working',
        ttlMs: 2 * 86_400_000,
        pollIntervalMs: 1000,
      });
      assert.equal(createdAt, lastUpdatedAt);
      const { rows } = {
        rows: await api.db.selectFrom('tasks').select('owner').where('id', '=', taskId).execute(),
      };
      assert.deepEqual(rows, [{ owner: 'key:alice' }]);
    });

    test('starts one task for each call', async () => {
      const count = async (): Promise<number> => {
        const { result } = await call('tools/call', { name: 'list_tasks', arguments: {} });
        return result.structuredContent.totalSize;
      };
      const before = await count();
      await start();
      assert.equal(await count(), before + 1);
    });

    test('returns the result of a tool once the task has completed', async () => {
      const taskId = await start();
      assert.equal((await get(taskId)).status, 'working');
      const turn = await playTurn(api.db, taskId);
      await turn.artifact([{ text: 'done' }, { data: { n: 1 } }]);
      await turn.end({ state: 'TASK_STATE_COMPLETED' });
      const task = await get(taskId);
      assert.equal(task.status, 'completed');
      assert.equal(task.resultType, 'complete');
      assert.deepEqual(task.result.structuredContent.data, [{ n: 1 }]);
      assert.equal(task.result.content[0].text, 'done');
      assert.ok(task.ttlMs > 2 * 86_400_000);
    });

    test('reports a failed task as a result that is an error', async () => {
      const taskId = await start();
      await (await playTurn(api.db, taskId)).end({ state: 'TASK_STATE_FAILED', message: 'No.' });
      const task = await get(taskId);
      assert.equal(task.status, 'completed');
      assert.equal(task.result.isError, true);
    });

    test('cancels a task, and acknowledges it again', async () => {
      const taskId = await start();
      for (let n = 0; n < 2; n++) {
        const { result } = await call('tasks/cancel', { taskId });
        assert.equal(result.resultType, 'complete');
      }
      assert.equal((await get(taskId)).status, 'cancelled');
    });

    test('asks under a new key each time, and takes each answer once', async () => {
      const taskId = await start();
      const keys: string[] = [];
      for (const answer of ['red', 'blue']) {
        await (
          await playTurn(api.db, taskId)
        ).end({ state: 'TASK_STATE_INPUT_REQUIRED', message: 'Colour?' });
        const { status, inputRequests } = await get(taskId);
        assert.equal(status, 'input_required');
        const [key = ''] = Object.keys(inputRequests);
        keys.push(key);
        assert.equal(inputRequests[key].method, 'elicitation/create');
        const stale = { [keys[0] ?? '']: { action: 'accept', content: { answer: 'stale' } } };
        const inputResponses = { ...stale, [key]: { action: 'accept', content: { answer } } };
        const update = { taskId, inputResponses };
        // Dismissing a form leaves the task as it is.
        await call('tasks/update', { taskId, inputResponses: { [key]: { action: 'cancel' } } });
        assert.equal((await get(taskId)).status, 'input_required');
        assert.deepEqual((await call('tasks/update', update)).result.resultType, 'complete');
        const late = { [key]: { action: 'accept', content: { answer: 'other' } } };
        assert.equal((await call('tasks/update', { taskId, inputResponses: late })).error, undefined);
      }
      assert.notEqual(keys[0], keys[1]);
      assert.deepEqual(await readTexts(taskId), ['work', 'red', 'blue']);
    });

    async function readTexts(taskId: string): Promise<string[]> {
      const rows = await api.db
        .selectFrom('messages')
        .select('message')
        .where('task_id', '=', taskId)
        .where('role', '=', 'user')
        .orderBy('turn')
        .execute();
      return rows.map(({ message }) => (message as Json).parts.at(-1).text);
    }

    test('asks for the approval of each call', async () => {
      const taskId = await start();
      const requests = ['1.1.1', '1.1.2', '1.1.3'].map((id) =>
        createApprovalRequest(id, 'cancel_order', { id }),
      );
      const message = [{ text: 'The agent asks for your approval.' }, createApprovalPart(requests)];
      await (await playTurn(api.db, taskId)).end({ state: 'TASK_STATE_AUTH_REQUIRED', message });
      const { inputRequests } = await get(taskId);
      const [first = '', second = '', third = ''] = Object.keys(inputRequests);
      assert.match(inputRequests[second].params.message, /cancel_order {"id":"1.1.2"}/);
      const inputResponses = {
        [first]: { action: 'accept', content: { approve: true } },
        [second]: { action: 'accept', content: { approve: false, note: 'too late' } },
        [third]: { action: 'decline' },
      };
      await call('tasks/update', { taskId, inputResponses });
      const rows = await api.db
        .selectFrom('messages')
        .select('message')
        .where('task_id', '=', taskId)
        .where('turn', '=', 2)
        .execute();
      const [{ message: sent } = { message: undefined }] = rows;
      const { decisions } = (sent as Json).parts[0].data[approvalExtension];
      assert.deepEqual(decisions, [
        { id: '1.1.1', argumentsHash: requests[0]?.argumentsHash, approve: true },
        { id: '1.1.2', argumentsHash: requests[1]?.argumentsHash, approve: false, reason: 'too late' },
        { id: '1.1.3', argumentsHash: requests[2]?.argumentsHash, approve: false },
      ]);
    });

    test('shows no form to a client without forms', async () => {
      const taskId = await start();
      await (await playTurn(api.db, taskId)).end({ state: 'TASK_STATE_INPUT_REQUIRED', message: 'Colour?' });
      for (const others of [{}, { elicitation: { url: {} } }]) {
        const capabilities = { ...others, extensions: { [tasksExtension]: {} } };
        const { result } = await call('tasks/get', { taskId }, { capabilities });
        assert.deepEqual([result.inputRequests, result.statusMessage], [{}, 'Colour?']);
      }
    });

    test('starts one task for calls with the same idempotency key', async () => {
      const options = { meta: { 'dev.longhaul/idempotencyKey': 'once' } };
      assert.equal(await start('work', options), await start('work', options));
    });

    test('refuses clients that do not declare it', async () => {
      const taskId = await start();
      const calls: [string, object][] = [
        ['tasks/get', { taskId }],
        ['tasks/update', { taskId, inputResponses: {} }],
        ['tasks/cancel', { taskId }],
        ['subscriptions/listen', { notifications: { taskIds: [taskId] } }],
      ];
      for (const [method, params] of calls) {
        const { status, error } = await call(method, params, { capabilities: {} });
        assert.deepEqual([method, status, error?.code], [method, 400, -32_021]);
        assert.deepEqual(error?.data.requiredCapabilities, { extensions: { [tasksExtension]: {} } });
      }
    });

    test('reports the task of another caller as missing in every method', async () => {
      const [taskId, missing] = [await start(), uuidv7()];
      for (const method of ['tasks/get', 'tasks/update', 'tasks/cancel']) {
        const ask = async (id: string, headers: Record<string, string>) =>
          (await call(method, { taskId: id, inputResponses: {} }, { headers })).error;
        const expected = await ask(missing, aliceKey);
        assert.equal(expected?.code, -32_602);
        const { code, message = '' } = (await ask(taskId, bobKey)) ?? {};
        assert.deepEqual({ code, message: message.replace(taskId, missing) }, expected);
      }
      const { notifications } = await listen([taskId], { headers: bobKey });
      assert.deepEqual(notifications[0].params.notifications, { taskIds: [] });
      assert.equal(notifications.length, 1);
    });

    const listen = (taskIds: unknown, options: McpOptions = {}) =>
      call('subscriptions/listen', { notifications: { taskIds } }, options);

    test('reports each state of the tasks that a client listens to', async () => {
      const [one, other] = [await start(), await start()];
      const response = await postMcp(
        api.url,
        'subscriptions/listen',
        { notifications: { taskIds: [one, other, uuidv7()] } },
        { capabilities: knowsTasks, headers: aliceKey, id: 'sub' },
      );
      const events = readSse(response);
      const next = async (): Promise<Json> => (await events.next()).value?.data;
      const acknowledged = await next();
      assert.equal(acknowledged.method, 'notifications/subscriptions/acknowledged');
      assert.deepEqual(acknowledged.params.notifications, { taskIds: [one, other] });
      for (let n = 0; n < 2; n++) assert.equal((await next()).params.status, 'working');
      await (await playTurn(api.db, one)).end({ state: 'TASK_STATE_INPUT_REQUIRED', message: 'Colour?' });
      const seen: string[] = [];
      for (let task; task?.status !== 'input_required';) {
        ({ params: task } = await next());
        seen.push(task.status);
        if (task.status === 'input_required')
          assert.deepEqual(task.inputRequests, (await get(one)).inputRequests);
      }
      assert.deepEqual(seen, ['working', 'input_required']);
      await call('tasks/cancel', { taskId: one });
      assert.equal((await next()).params.status, 'cancelled');
      const turn = await playTurn(api.db, other);
      await turn.artifact([{ text: 'done' }]);
      await turn.end({ state: 'TASK_STATE_COMPLETED' });
      assert.equal((await next()).params.status, 'working');
      const { params } = await next();
      assert.equal(params.result.content[0].text, 'done');
      assert.equal(params._meta['io.modelcontextprotocol/subscriptionId'], 'sub');
      assert.equal((await next()).result.resultType, 'complete');
      assert.equal((await events.next()).done, true);
    });

    test('refuses to listen to what is not a list of tasks', async () => {
      assert.equal((await listen('x')).error?.code, -32_602);
      assert.equal((await listen(Array.from({ length: 101 }, () => uuidv7()))).error?.code, -32_602);
    });
  });

  describe('of 2025-11-25', () => {
    testLegacyTasks(
      (method, params, headers = aliceKey) => call(method, params, { revision: legacy, headers }),
      {
        getDb: () => api.db,
        getSkill: () => skill,
      },
    );
  });
});

describe('MCP as a protected resource', () => {
  const cleanup = createSuiteCleanup();

  test('names its authorization servers, and itself in each refusal', async () => {
    const { url } = await startApiService(cleanup, {
      AUTH_MODES: 'jwt',
      JWT_ISSUER: 'https://issuer.example',
      JWT_AUDIENCE: 'https://agent.example/mcp',
      PUBLIC_URL: 'https://agent.example',
    });
    const { headers } = await postMcp(url, 'tools/list', {});
    const challenge = headers.get('www-authenticate') ?? '';
    assert.equal(
      challenge,
      'Bearer realm="a2a", resource_metadata="https://agent.example/.well-known/oauth-protected-resource/mcp"',
    );
    for (const path of [
      '/.well-known/oauth-protected-resource/mcp',
      '/.well-known/oauth-protected-resource',
    ]) {
      const metadata = (await (await fetch(`${url}${path}`)).json()) as Json;
      assert.equal(metadata.resource, 'https://agent.example/mcp');
      assert.deepEqual(metadata.authorization_servers, ['https://issuer.example']);
    }
  });
});
