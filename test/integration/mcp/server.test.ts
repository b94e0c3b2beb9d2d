/** MCP at the front door, over HTTP on a real database: its tools, its revisions and its rules. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/services/api-keys.ts';
import { startApiService, type TestApiService } from '../../support/services/api-service.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import {
  callMcp,
  knowsTasks,
  modern,
  postMcp,
  type Json,
  type McpOptions,
} from '../../support/clients/mcp.ts';
import { playTurn } from '../../support/database/tasks.ts';
import { waitFor } from '../../support/wait-for.ts';

const legacy = '2025-11-25';

describe('MCP at the front door', () => {
  const cleanup = createSuiteCleanup();
  let api: TestApiService;
  /** Holds calls until the task has ended. */
  let holding: TestApiService;
  let skill: string;

  before(async () => {
    const env = { ...apiKeysEnv(), CORS_ORIGINS: 'https://app.example' };
    api = await startApiService(cleanup, { ...env, SEND_WAIT_SECONDS: '0' });
    holding = await startApiService(cleanup, { ...env, SEND_WAIT_SECONDS: '60' });
    const { result } = await call('tools/list');
    skill = result.tools[0].name;
  });

  const call = (method: string, params: Json = {}, options: McpOptions = {}, { url } = api) =>
    callMcp(url, method, params, { ...options, headers: { ...aliceKey, ...options.headers } });

  const callTool = (name: string, args: Json, options: McpOptions = {}, service = api) =>
    call('tools/call', { name, arguments: args }, options, service);

  test('has a tool for each skill, and those that follow tasks up', async () => {
    const { result } = await call('tools/list');
    const names = result.tools.map(({ name }: Json) => name);
    assert.deepEqual(names.slice(-4), ['get_task', 'list_tasks', 'answer_task', 'cancel_task']);
    assert.equal(result.tools[0].inputSchema.properties.text.type, 'string');
    assert.deepEqual(result.tools[0].execution, undefined);
  });

  test('answers server/discover with the Tasks extension', async () => {
    const { result } = await call('server/discover');
    assert.deepEqual(result.supportedVersions, [modern]);
    assert.deepEqual(result.capabilities.extensions, { 'io.modelcontextprotocol/tasks': {} });
  });

  for (const revision of [legacy, '2025-06-18', '2025-03-26']) {
    test(`negotiates revision ${revision}`, async () => {
      const params = {
        protocolVersion: revision,
        capabilities: {},
        clientInfo: { name: 'test', version: '1' },
      };
      const { result } = await call('initialize', params, { revision });
      assert.equal(result.protocolVersion, revision);
      const listed = await call('tools/list', {}, { revision });
      assert.deepEqual(listed.result.tools[0].execution, { taskSupport: 'optional' });
    });
  }

  test('starts a task, and names it with the tools that follow it up', async () => {
    const { result } = await callTool(skill, { text: 'hello' });
    assert.equal(result.structuredContent.state, 'submitted');
    assert.match(result.content.at(-1).text, /is still submitted: call get_task with {"taskId":"[\w-]{36}"}/);
  });

  test('returns the result of a task that ends while the call is held', async () => {
    const meta = { progressToken: 'p1', 'dev.longhaul/idempotencyKey': 'held' };
    const answer = callTool(skill, { text: 'hold on' }, { meta }, holding);
    const taskId = await findTask('mcp-key:held');
    const turn = await playTurn(holding.db, taskId);
    await turn.progress('half of it');
    await turn.artifact([
      { text: 'all of it' },
      { url: 'https://files.example/a.pdf', mediaType: 'application/pdf' },
    ]);
    await turn.end({ state: 'TASK_STATE_COMPLETED' });
    const { result, notifications } = await answer;
    assert.deepEqual(result.content, [
      { type: 'text', text: 'all of it' },
      {
        type: 'resource_link',
        uri: 'https://files.example/a.pdf',
        name: 'a.pdf',
        mimeType: 'application/pdf',
      },
    ]);
    assert.equal(result.structuredContent.state, 'completed');
    assert.equal(result.isError, undefined);
    const messages = notifications.map(({ params }: Json) => [params.progressToken, params.message]);
    assert.ok(
      messages.some(([token, text]) => token === 'p1' && text === 'half of it'),
      JSON.stringify(messages),
    );
    const counts = notifications.map(({ params }: Json) => params.progress);
    assert.deepEqual(
      counts,
      counts.toSorted((a: number, b: number) => a - b),
    );
  });

  /** Returns the task of a held call. */
  const findTask = (messageId: string): Promise<string> =>
    waitFor('the task', async () => {
      const sends = holding.db.selectFrom('sends').select('task_id').where('message_id', '=', messageId);
      return (await sends.executeTakeFirst())?.task_id;
    });

  test('starts one task for calls with the same idempotency key', async () => {
    const options = { meta: { 'dev.longhaul/idempotencyKey': 'once' } };
    const [first, second] = [
      await callTool(skill, { text: 'a' }, options),
      await callTool(skill, { text: 'a' }, options),
    ];
    assert.equal(first.result.structuredContent.taskId, second.result.structuredContent.taskId);
    const other = await callTool(skill, { text: 'b' }, options);
    assert.equal(other.result.isError, true);
    assert.match(other.result.content[0].text, /messageId mcp-key:once was already used/);
  });

  test('follows a task up by tools', async () => {
    const { taskId } = (await callTool(skill, { text: 'ask me' })).result.structuredContent;
    const turn = await playTurn(api.db, taskId);
    await turn.end({ state: 'TASK_STATE_INPUT_REQUIRED', message: 'Which one?' });
    const asked = (await callTool('get_task', { taskId })).result;
    assert.equal(asked.structuredContent.text, 'Which one?');
    assert.match(asked.structuredContent.nextStep, /call answer_task/);
    const answered = (await callTool('answer_task', { taskId, text: 'The second.' })).result;
    assert.notEqual(answered.structuredContent.state, 'input-required');
    const listed = (await callTool('list_tasks', { state: 'canceled' })).result.structuredContent;
    const canceled = (await callTool('cancel_task', { taskId })).result;
    assert.equal(canceled.structuredContent.state, 'canceled');
    assert.equal(canceled.isError, false);
    const { totalSize } = (await callTool('list_tasks', { state: 'canceled' })).result.structuredContent;
    assert.equal(totalSize, listed.totalSize + 1);
    const again = (await callTool('cancel_task', { taskId })).result;
    assert.equal(again.isError, true);
    assert.match(again.content[0].text, /read it with get_task$/);
  });

  test('waits in get_task until the task ends', async () => {
    const { taskId } = (await callTool(skill, { text: 'wait' })).result.structuredContent;
    const waiting = callTool('get_task', { taskId, waitSeconds: 60 });
    const turn = await playTurn(api.db, taskId);
    await turn.end({ state: 'TASK_STATE_FAILED', message: 'It cannot be done.' });
    const { result } = await waiting;
    assert.equal(result.isError, true);
    assert.equal(result.content[0].text, 'It cannot be done.');
  });

  test('asks in the answer of a held call, and takes the response with its retry', async () => {
    const options = { capabilities: { elicitation: {} }, meta: { 'dev.longhaul/idempotencyKey': 'asking' } };
    const asking = callTool(skill, { text: 'ask' }, options, holding);
    const taskId = await findTask('mcp-key:asking');
    await (
      await playTurn(holding.db, taskId)
    ).end({ state: 'TASK_STATE_INPUT_REQUIRED', message: 'Which one?' });
    const { result } = await asking;
    assert.equal(result.resultType, 'input_required');
    const [key = ''] = Object.keys(result.inputRequests);
    assert.equal(result.inputRequests[key].params.message, 'Which one?');
    const params = {
      name: skill,
      arguments: { text: 'ask' },
      requestState: result.requestState,
      inputResponses: { [key]: { action: 'accept', content: { answer: 'The red one' } } },
    };
    const forms = { capabilities: { elicitation: {} } };
    const wrong = { ...params, inputResponses: { other: { action: 'accept', content: {} } } };
    const again = await call('tools/call', wrong, forms, holding);
    assert.deepEqual(again.result.inputRequests, result.inputRequests);
    const dismissed = { ...params, inputResponses: { [key]: { action: 'cancel' } } };
    assert.equal(
      (await call('tools/call', dismissed, forms, holding)).result.structuredContent.state,
      'input-required',
    );
    const continuing = call('tools/call', params, forms, holding);
    await waitFor('the answer', async () => (await readMessages(taskId)).length === 2);
    await call('tools/call', { name: 'cancel_task', arguments: { taskId } }, {}, holding);
    const continued = await continuing;
    assert.equal(continued.result.structuredContent.taskId, taskId);
    assert.deepEqual(await readMessages(taskId), ['ask', 'The red one']);
  });

  /** Returns the texts that the user has sent. */
  async function readMessages(taskId: string): Promise<string[]> {
    const found = await holding.db
      .selectFrom('messages')
      .select('message')
      .where('task_id', '=', taskId)
      .where('role', '=', 'user')
      .orderBy('turn')
      .execute();
    return found.map(({ message }) => (message as Json).parts.at(-1).text);
  }

  test('reports wrong arguments to the model', async () => {
    const wrong: [string, Json, RegExp][] = [
      ['get_task', { taskId: 'none', waitSecs: 1 }, /waitSecs/],
      [skill, { files: [{ name: 'a' }] }, /files.0 must have either url or bytes/],
      ['get_task', {}, /taskId/],
      ['get_task', { taskId: 'none' }, /task none was not found/],
      ['get_task', { taskId: 'none', waitSeconds: 1e9 }, /waitSeconds must be <= 60/],
      ['list_tasks', { state: 'nice' }, /state must be one of submitted/],
      ['answer_task', { taskId: 'none' }, /answer is empty/],
    ];
    for (const [name, args, message] of wrong) {
      const { status, result } = await callTool(name, args);
      assert.equal(status, 200);
      assert.equal(result.isError, true, name);
      assert.match(result.content[0].text, message);
    }
  });

  test('refuses what is not a request of MCP', async () => {
    const unknown = await callTool('nothing', {});
    assert.equal(unknown.error?.code, -32_602);
    assert.match(unknown.error?.message ?? '', /^Unknown tool: nothing/);
    const method = await call('tasks/list', {});
    assert.deepEqual([method.status, method.error?.code], [404, -32_601]);
    const mismatch = await call('tools/list', {}, { headers: { 'mcp-method': 'tools/call' } });
    assert.deepEqual([mismatch.status, mismatch.error?.code], [400, -32_020]);
    const version = await call('tools/list', {}, { headers: { 'mcp-protocol-version': '1900-01-01' } });
    assert.equal(version.status, 400);
    assert.equal((await send('GET')).status, 405);
    assert.equal((await send('POST', '[]')).status, 400);
    assert.equal((await send('POST', '{')).status, 400);
    assert.equal((await send('POST', '{}', { 'content-type': 'text/plain' })).status, 415);
  });

  const send = (method: string, body?: string, headers: Record<string, string> = {}) =>
    fetch(`${api.url}/mcp`, {
      method,
      headers: { ...aliceKey, 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body }),
    });

  test('refuses pages of other sites', async () => {
    const from = async (origin: string) => (await call('tools/list', {}, { headers: { origin } })).status;
    assert.equal(await from('https://evil.example'), 403);
    assert.equal(await from('https://app.example'), 200);
    assert.equal(await from(api.url), 200);
  });

  test('refuses callers without credentials', async () => {
    const response = await postMcp(api.url, 'tools/list', {});
    assert.equal(response.status, 401);
    assert.match(response.headers.get('www-authenticate') ?? '', /^ApiKey /);
    const body = (await response.json()) as Json;
    assert.equal(body.error.code, 401);
    assert.equal(body.id, null);
  });

  test('shows the tasks of other callers to no tool', async () => {
    const { taskId } = (await callTool(skill, { text: 'hers' })).result.structuredContent;
    const calls: [string, Json][] = [
      ['get_task', { taskId }],
      ['answer_task', { taskId, text: 'x' }],
      ['cancel_task', { taskId }],
    ];
    for (const [name, args] of calls) {
      const { result } = await callTool(name, args, { headers: bobKey });
      assert.equal(result.isError, true);
      assert.equal(result.content[0].text, `task ${taskId} was not found`);
    }
    assert.equal(
      (await callTool('list_tasks', {}, { headers: bobKey })).result.structuredContent.totalSize,
      0,
    );
    const retry = { name: skill, arguments: {}, requestState: taskId, inputResponses: {} };
    const continued = await call('tools/call', retry, { headers: bobKey, capabilities: knowsTasks });
    assert.equal(continued.result.isError, true);
  });

  test('refuses capabilities of wrong types on every path', async () => {
    const send = { name: skill, arguments: { text: 'x' } };
    for (const more of [{ elicitation: null }, { elicitation: { form: 1 } }, { extensions: { x: null } }]) {
      for (const [method, params, meta] of [
        ['tools/call', send, {}],
        ['tools/call', send, { progressToken: 1 }],
        ['subscriptions/listen', { notifications: { taskIds: [skill] } }, {}],
      ] as const) {
        const capabilities = { ...knowsTasks, ...more };
        const { status, error } = await call(method, params, { capabilities, meta });
        assert.deepEqual([status, error?.code], [400, -32_602], `${method} ${JSON.stringify(more)}`);
      }
    }
  });

  test('refuses arguments that are not an object', async () => {
    for (const args of [[1], 'x']) {
      for (const meta of [{}, { progressToken: 1 }]) {
        const { error } = await callTool(skill, args, { meta });
        assert.deepEqual(
          [error?.code, error?.message.split(',')[0]],
          [-32_602, 'arguments must be an object'],
        );
      }
    }
  });
});
