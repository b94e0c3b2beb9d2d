/** The tools of MCP servers that answer with tasks, or ask their user, as the worker calls them. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import { getPowers } from '#shared/agent/powers.ts';
import { RetryableError } from '#shared/domain/errors.ts';
import type { JsonObject, Part } from '#shared/domain/message.ts';
import { createMcpConnections } from '#services/worker/agent/mcp/connections.ts';
import { toResponses } from '#services/worker/agent/mcp/tasks/elicitation.ts';
import { createToolTasks, type RemoteToolTasks } from '#services/worker/agent/mcp/tasks/open.ts';
import { createMcpTools } from '#services/worker/agent/mcp/tools.ts';
import { UnfinishedOutput, type Tool } from '#services/worker/agent/gemini/tools/tool.ts';
import { createResult } from '#services/worker/turn/calls/result.ts';
import { minimalDefinition } from '../../support/agents/definition.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';
import { unreportedWaits } from '../../support/agents/partner-waits.ts';
import { startMcpTasks, type McpTasks, type TaskRevision } from '../../support/fakes/mcp-tasks.ts';
import { useOfflineModel } from '../gemini/use-offline-model.ts';

const offline = useOfflineModel();
const { signal } = new AbortController();
const revisions: TaskRevision[] = ['2026-07-28', '2025-11-25'];
const form = (message: string, properties: JsonObject, more: JsonObject = {}): JsonObject => ({
  method: 'elicitation/create',
  params: { mode: 'form', message, requestedSchema: { type: 'object', properties, ...more } },
});
const colour = form('Which colour?', { colour: { type: 'string' } });

interface Connected extends McpTasks {
  definition: JsonObject;
  tool: Tool;
  remote: RemoteToolTasks;
  mcp: ReturnType<typeof createMcpTools>;
}

async function connect(t: TestContext, revision: TaskRevision, more: JsonObject = {}): Promise<Connected> {
  const fake = await startMcpTasks(t, revision);
  const connections = createMcpConnections(() => undefined);
  const mcp = createMcpTools(() => undefined, undefined, connections);
  t.after(() => mcp.close());
  const definition = {
    ...minimalDefinition,
    tools: [],
    mcpServers: { it: { url: fake.server.url, ...more } },
  };
  const parsed = parseAgentDefinition(JSON.stringify(definition), 'x');
  const { tools } = await mcp.loadTools(parsed.mcpServers, new Set(), unreportedWaits);
  const tool = tools.find(({ declaration }) => declaration.name === 'convert')!;
  const remote = await createToolTasks(connections, getPowers([parsed]))('it', parsed.mcpServers['it']!);
  return { ...fake, definition: parsed as unknown as JsonObject, tool, remote, mcp };
}

const call = (tool: Tool) => tool.call({}, { idempotencyKey: 'key', signal });

async function start({ tool, tasks }: Connected): Promise<JsonObject> {
  const output = await call(tool);
  assert.ok(output instanceof UnfinishedOutput);
  return tasks.get(output.call.taskId!)!;
}

describe('a tool that answers with a task', () => {
  for (const revision of revisions) {
    test(`has its result when the task of ${revision} has ended`, async (t) => {
      const connected = await connect(t, revision);
      const task = await start(connected);
      const id = task['taskId'] as string;
      const working = await connected.remote.get(id, signal);
      assert.deepEqual([working?.state, working?.pollSeconds], ['TASK_STATE_WORKING', 0.01]);
      const result = { content: [{ type: 'text', text: 'done' }] };
      Object.assign(task, { status: 'completed', result });
      const ended = await connected.remote.get(id, signal);
      assert.equal(ended?.state, 'TASK_STATE_COMPLETED');
      assert.deepEqual((ended.artifacts[0]!.parts[0]!.data as JsonObject)['content'], result.content);
      assert.equal(await connected.remote.get('gone', signal), undefined);
    });

    test(`cancels the task of ${revision}`, async (t) => {
      const connected = await connect(t, revision);
      const { taskId } = await start(connected);
      await connected.remote.cancel(taskId as string, signal);
      assert.deepEqual(connected.canceled, [taskId]);
      assert.equal((await connected.remote.get(taskId as string, signal))?.state, 'TASK_STATE_CANCELED');
      await connected.remote.cancel('gone', signal);
    });
  }

  test('is asked for a task only in the revision where the client asks', async (t) => {
    for (const revision of revisions) {
      const connected = await connect(t, revision);
      await start(connected);
      assert.equal('task' in connected.server.lastParams, revision === '2025-11-25');
    }
  });

  test('is waited for while its server is away', async (t) => {
    const connected = await connect(t, '2026-07-28');
    const { taskId } = await start(connected);
    connected.server.methods['tasks/get'] = () => ({ status: 503 });
    await assert.rejects(connected.remote.get(taskId as string, signal), RetryableError);
    connected.server.methods['tasks/get'] = () => ({ error: { code: -32_603, message: 'oops' } });
    await assert.rejects(connected.remote.get(taskId as string, signal), RetryableError);
  });

  test('ends its task if that asks what no user can answer', async (t) => {
    const connected = await connect(t, '2026-07-28', { elicitation: false });
    const task = await start(connected);
    Object.assign(task, { status: 'input_required', inputRequests: { a: colour } });
    const asked = await connected.remote.get(task['taskId'] as string, signal);
    assert.equal(asked?.state, 'TASK_STATE_FAILED');
    assert.deepEqual(connected.canceled, [task['taskId']]);
    const capabilities = connected.server.lastMeta[
      'io.modelcontextprotocol/clientCapabilities'
    ] as JsonObject;
    assert.equal('elicitation' in capabilities, false);
  });

  test('ends its task of 2025-11-25 if that asks, as the request cannot be kept', async (t) => {
    const connected = await connect(t, '2025-11-25');
    const task = await start(connected);
    Object.assign(task, { status: 'input_required' });
    const asked = await connected.remote.get(task['taskId'] as string, signal);
    assert.equal(asked?.state, 'TASK_STATE_FAILED');
    assert.deepEqual(connected.canceled, [task['taskId']]);
  });
});

describe('the agent', () => {
  /** Runs a turn of the agent, and returns it with its end. */
  async function run(turn: MemoryTurn, { mcp }: Connected) {
    const outcome = await offline.createAgent({ mcp }).run(turn);
    return outcome;
  }

  /** Waits for a task as the worker does. */
  const follow =
    ({ remote, tasks }: Connected, onPoll: (task: JsonObject) => void) =>
    async (_server: string, taskId: string) => {
      for (;;) {
        onPoll(tasks.get(taskId)!);
        const task = await remote.get(taskId, signal);
        if (task === undefined) return createResult('failed', 'gone');
        const status = task.state === 'TASK_STATE_COMPLETED' ? 'completed' : 'input_required';
        if (task.state !== 'TASK_STATE_WORKING') return createResult(status, task.message, task);
      }
    };

  for (const revision of revisions) {
    test(`gets the result of a task of ${revision} as that of the call`, async (t) => {
      const connected = await connect(t, revision);
      const result = { content: [{ type: 'text', text: 'seven pages' }] };
      const followTask = follow(connected, (task) => Object.assign(task, { status: 'completed', result }));
      const turn = new MemoryTurn({
        message: 'Use the tool convert with {}',
        definition: connected.definition,
        followTask,
      });
      const outcome = await run(turn, connected);
      assert.equal('state' in outcome && outcome.state, 'TASK_STATE_COMPLETED');
      assert.match(JSON.stringify(turn.artifacts), /seven pages/);
      assert.deepEqual(connected.server.calls, ['convert']);
    });
  }

  test('asks its user what a task asks, and answers it once', async (t) => {
    const connected = await connect(t, '2026-07-28');
    const followTask = follow(connected, (task) => {
      const result = { content: [{ type: 'text', text: `painted ${JSON.stringify(connected.updates)}` }] };
      if (connected.updates.length > 0) Object.assign(task, { status: 'completed', result });
      else Object.assign(task, { status: 'input_required', inputRequests: { c1: colour } });
    });
    const first = new MemoryTurn({
      message: 'Use the tool convert with {}',
      definition: connected.definition,
      followTask,
    });
    const asked = await run(first, connected);
    assert.equal('state' in asked && asked.state, 'TASK_STATE_INPUT_REQUIRED');
    const parts = (asked as unknown as { message: Part[] }).message;
    assert.match(parts[0]!.text!, /The tool "convert" asks: Which colour\?/);
    assert.deepEqual(parts[1]!.data, {
      'https://longhaul.dev/ext/elicitation/v1': { requests: { c1: colour } },
    });
    const second = first.next('red', { followTask });
    const outcome = await run(second, connected);
    assert.equal('state' in outcome && outcome.state, 'TASK_STATE_COMPLETED');
    assert.deepEqual(connected.updates, [{ c1: { action: 'accept', content: { colour: 'red' } } }]);
    assert.deepEqual(connected.server.calls, ['convert']);
    assert.match(JSON.stringify(second.artifacts), /painted/);
  });

  test('answers a tool that asks during its call with a cancel', async (t) => {
    const connected = await connect(t, '2025-11-25');
    const { server } = connected;
    let response: JsonObject | undefined;
    server.answer = async () => {
      response = await server.ask('elicitation/create', colour['params'] as JsonObject);
      return { result: { content: [{ type: 'text', text: 'no colour' }] } };
    };
    await call(connected.tool);
    assert.deepEqual(response?.['result'], { action: 'cancel' });
  });

  test('makes a call again with the answer, if the tool asks in place of a result', async (t) => {
    const connected = await connect(t, '2026-07-28');
    const ask = { resultType: 'input_required', inputRequests: { c1: colour }, requestState: 's1' };
    connected.server.answer = (number) =>
      number === 1
        ? { result: ask }
        : { result: { resultType: 'complete', content: [{ type: 'text', text: 'red it is' }] } };
    const first = new MemoryTurn({
      message: 'Use the tool convert with {}',
      definition: connected.definition,
    });
    assert.equal(((await run(first, connected)) as { state: string }).state, 'TASK_STATE_INPUT_REQUIRED');
    const second = first.next([{ data: { colour: 'red' } }]);
    assert.equal(((await run(second, connected)) as { state: string }).state, 'TASK_STATE_COMPLETED');
    const { inputResponses, requestState } = connected.server.lastParams;
    assert.deepEqual(
      [inputResponses, requestState],
      [{ c1: { action: 'accept', content: { colour: 'red' } } }, 's1'],
    );
  });
});

describe('the responses to a form', () => {
  const two = { a: form('A?', { n: { type: 'integer' } }), b: form('B?', { ok: { type: 'boolean' } }) };
  const accept = (content: JsonObject) => ({ action: 'accept', content });
  const choice = form('Which?', { size: { type: 'string', oneOf: [{ const: 'l', title: 'Large' }] } });
  const pair = form('Who?', { name: { type: 'string' }, age: { type: 'integer' } }, { required: ['name'] });
  const cases: [string, JsonObject, Part[], JsonObject | undefined][] = [
    ['text', { a: colour }, [{ text: 'red' }], { a: accept({ colour: 'red' }) }],
    ['a number', { a: form('A?', { n: { type: 'integer' } }) }, [{ text: '7' }], { a: accept({ n: 7 }) }],
    ['no number', { a: form('A?', { n: { type: 'integer' } }) }, [{ text: 'seven' }], undefined],
    ['yes', { a: form('B?', { ok: { type: 'boolean' } }) }, [{ text: 'Yes.' }], { a: accept({ ok: true }) }],
    ['a title', { a: choice }, [{ text: 'large' }], { a: accept({ size: 'l' }) }],
    ['no choice', { a: choice }, [{ text: 'small' }], undefined],
    ['data', { a: pair }, [{ data: { name: 'Ada', age: 36 } }], { a: accept({ name: 'Ada', age: 36 }) }],
    ['JSON as text', { a: pair }, [{ text: '{"name":"Ada"}' }], { a: accept({ name: 'Ada' }) }],
    ['data without a required field', { a: pair }, [{ data: { age: 36 } }], undefined],
    ['text for several fields', { a: pair }, [{ text: 'Ada' }], undefined],
    [
      'one object for several forms',
      two,
      [{ data: { a: { n: 1 }, b: { ok: false } } }],
      { a: accept({ n: 1 }), b: accept({ ok: false }) },
    ],
    [
      'responses as they are',
      { a: pair },
      [{ data: { a: { action: 'cancel' } } }],
      { a: { action: 'cancel' } },
    ],
    ['a refusal', two, [{ text: 'decline' }], { a: { action: 'decline' }, b: { action: 'decline' } }],
    ['nothing', { a: colour }, [], undefined],
  ];
  for (const [name, requests, parts, expected] of cases) {
    test(`are read from ${name}`, () => assert.deepEqual(toResponses(requests, parts), expected));
  }
});
