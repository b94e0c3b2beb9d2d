/** MCP at the front door, over HTTP on a real database: its tools, its revisions and its rules. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { aliceKey, apiKeysEnv, bobKey, sha256 } from '../../support/services/api-keys.ts';
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
import { testHeldCalls } from './server/held-calls.ts';

const legacy = '2025-11-25';
const readerKey = { 'x-api-key': 'reader-key-of-a-test' };

describe('MCP at the front door', () => {
  const cleanup = createSuiteCleanup();
  let api: TestApiService;
  /** Holds calls until the task has ended. */
  let holding: TestApiService;
  let skill: string;

  before(async () => {
    const keys = apiKeysEnv();
    const API_KEYS = `${keys['API_KEYS']},reader:${sha256(readerKey['x-api-key'])} scopes=read`;
    const env = { ...keys, API_KEYS, CORS_ORIGINS: 'https://app.example' };
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

  testHeldCalls({
    call: (method, params, options) => call(method, params, options, holding),
    getDb: () => holding.db,
    getSkill: () => skill,
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
    const long = { meta: { 'dev.longhaul/idempotencyKey': 'ä'.repeat(300) } };
    const ids = [await callTool(skill, { text: 'a' }, long), await callTool(skill, { text: 'a' }, long)].map(
      ({ result }) => result.structuredContent.taskId,
    );
    assert.ok(ids[0] !== undefined && ids[0] === ids[1]);
    const empty = await callTool(skill, { text: 'a' }, { meta: { 'dev.longhaul/idempotencyKey': '' } });
    assert.match(empty.result.content[0].text, /must be a string that is not empty/);
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

  test('reports wrong arguments to the model', async () => {
    const wrong: [string, Json, RegExp][] = [
      ['get_task', { taskId: 'none', waitSecs: 1 }, /waitSecs/],
      [skill, { files: [{ name: 'a' }] }, /files.0 must have either url or bytes/],
      ['get_task', {}, /taskId/],
      ['get_task', { taskId: 'none' }, /task none was not found/],
      ['get_task', { taskId: 'none', waitSeconds: 1 }, /task none was not found/],
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
    const tool = { name: 'get_task', arguments: {} };
    const mismatches: [string, Json, Record<string, string>][] = [
      ['tools/call', tool, { 'mcp-method': 'tasks/get' }],
      ['tools/call', tool, { 'mcp-name': 'list_tasks' }],
      ['tasks/get', { taskId: 'a' }, { 'mcp-name': 'b' }],
      ['subscriptions/listen', { notifications: { taskIds: ['a'] } }, { 'mcp-method': 'tools/call' }],
    ];
    for (const [name, params, headers] of mismatches) {
      const { status, error } = await call(name, params, { headers, capabilities: knowsTasks });
      assert.deepEqual([name, status, error?.code], [name, 400, -32_020]);
    }
    const state = { name: skill, arguments: {}, requestState: 'x', inputResponses: {} };
    assert.match((await call('tools/call', state)).error?.message ?? '', /^Invalid requestState/);
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

  test('refuses calls without their scope on every path, with the status of HTTP', async () => {
    const send = { name: skill, arguments: { text: 'x' } };
    for (const meta of [{}, { progressToken: 1 }]) {
      const { status, error } = await call('tools/call', send, { headers: readerKey, meta });
      assert.deepEqual([status, error?.code], [403, 403], JSON.stringify(meta));
    }
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
    for (const more of [
      { elicitation: null },
      { elicitation: { form: 1 } },
      { elicitation: { form: { applyDefaults: 'yes' } } },
      { extensions: { x: null } },
    ]) {
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
