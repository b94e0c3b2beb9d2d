/** `longhaul/client` with an agent of A2A 1.0 whose connections break. */
import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { json } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { connect, UnauthorizedError, type TaskEvent } from 'longhaul/client';
import { listen } from '../../support/network/listen.ts';
import type { AnyJson } from '../../support/clients/any-json.ts';

const replay = 'https://longhaul.dev/ext/replay/v1';
const approval = 'https://longhaul.dev/ext/approval/v1';

interface Call {
  method: string;
  params: AnyJson;
  headers: IncomingHttpHeaders;
}
/** `stream`: events, and whether the connection breaks after them. `status`: answers with this status of HTTP. */
type Answer =
  | { result: object }
  | { error: { code: number; message: string } }
  | { stream: object[]; breaks?: boolean }
  | { status: number };

/** Starts an agent that gives these answers in turn. */
async function startAgent(t: TestContext, answers: Answer[], extensions: string[] = []) {
  const calls: Call[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const send = (status: number, body: object): void => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      };
      if (request.method === 'GET')
        return send(200, createCard(`http://${request.headers.host}/rpc`, extensions));
      const { id, method, params } = (await json(request)) as Call & { id: number };
      calls.push({ method, params, headers: request.headers });
      const answer = answers.shift() ?? { error: { code: -32603, message: 'no answer is left' } };
      if ('status' in answer) return send(answer.status, {});
      if (!('stream' in answer)) return send(200, { jsonrpc: '2.0', id, ...answer });
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const result of answer.stream) {
        response.write(`data: ${JSON.stringify({ jsonrpc: '2.0', id, result })}\n\n`);
      }
      if (answer.breaks !== true) response.end();
      else setImmediate(() => response.destroy());
    })();
  });
  return { url: await listen(t, server), calls };
}

function createCard(url: string, extensions: string[]): object {
  return {
    name: 'Any agent',
    description: 'Of A2A 1.0.',
    version: '1',
    supportedInterfaces: [{ url, protocolBinding: 'JSONRPC', protocolVersion: '1.0' }],
    capabilities: { streaming: true, extensions: extensions.map((uri) => ({ uri })) },
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
    skills: [],
  };
}

function createTask(state: string, event?: number, message?: object): object {
  const metadata = event === undefined ? {} : { metadata: { [replay]: { event } } };
  const status = {
    state: `TASK_STATE_${state}`,
    timestamp: '2026-01-01T00:00:00.000Z',
    ...(message && { message }),
  };
  return { task: { id: 'task-1', contextId: 'context-1', status, ...metadata } };
}

function createStatus(state: string, event: number): object {
  const status = { state: `TASK_STATE_${state}`, timestamp: '2026-01-01T00:00:00.000Z' };
  return {
    statusUpdate: { taskId: 'task-1', contextId: 'context-1', status, metadata: { [replay]: { event } } },
  };
}

async function collect(events: AsyncIterable<TaskEvent>): Promise<TaskEvent[]> {
  const collected: TaskEvent[] = [];
  for await (const event of events) collected.push(event);
  return collected;
}

describe('the client', () => {
  test('sends a message and returns the task as plain JSON', async (t) => {
    const { url, calls } = await startAgent(t, [{ result: createTask('WORKING') }]);
    const agent = await connect(url, { headers: { 'x-api-key': 'key' } });
    const { task } = await agent.send('hello', {
      contextId: 'context-1',
      webhook: { url: 'https://example.com/hook' },
    });
    assert.equal(task?.status.state, 'TASK_STATE_WORKING');
    const [call] = calls;
    assert.equal(call!.headers['x-api-key'], 'key');
    const { message, configuration } = call!.params;
    assert.partialDeepStrictEqual(message, {
      role: 'ROLE_USER',
      parts: [{ text: 'hello' }],
      contextId: 'context-1',
    });
    assert.equal(configuration.returnImmediately, true);
    assert.equal(configuration.taskPushNotificationConfig.url, 'https://example.com/hook');
  });

  test('returns the single message of an agent that answers without a task', async (t) => {
    const message = { messageId: 'm', role: 'ROLE_AGENT', parts: [{ text: 'Hi.' }] };
    const { url } = await startAgent(t, [{ result: { message } }]);
    const sent = await (await connect(url)).send('hello');
    assert.deepEqual(sent.message?.parts, [{ text: 'Hi.' }]);
  });

  test('resumes after the last event with an agent that numbers its events', async (t) => {
    const { url, calls } = await startAgent(
      t,
      [
        { stream: [createTask('SUBMITTED', 1), createStatus('WORKING', 2)], breaks: true },
        { status: 503 },
        { stream: [createTask('WORKING', 2)] },
        { stream: [createTask('WORKING', 2), createStatus('WORKING', 3), createStatus('COMPLETED', 4)] },
      ],
      [replay],
    );
    const events = await collect((await connect(url)).follow('task-1'));
    assert.deepEqual(
      events.map(({ event }) => event),
      [1, 2, 3, 4],
    );
    assert.deepEqual(
      calls.map(({ headers }) => headers['last-event-id']),
      [undefined, '2', '2', '2'],
    );
    assert.deepEqual(
      calls.map(({ headers }) => headers['a2a-extensions']),
      Array(4).fill(replay),
    );
  });

  test('starts again from the current task with any other agent', async (t) => {
    const { url } = await startAgent(t, [
      { stream: [createTask('WORKING')], breaks: true },
      { error: { code: -32004, message: 'the task has ended' } },
      { result: (createTask('COMPLETED') as { task: object }).task },
      { result: (createTask('COMPLETED') as { task: object }).task },
    ]);
    const agent = await connect(url);
    const events = await collect(agent.follow('task-1'));
    assert.deepEqual(
      events.map((event) => 'task' in event && event.task.status.state),
      ['TASK_STATE_WORKING', 'TASK_STATE_COMPLETED'],
    );
    await assert.rejects(collect(agent.follow('task-1', { after: 1 })), /numbers no events/);
  });

  test('waits until the task ends or waits for its caller', async (t) => {
    const { url } = await startAgent(
      t,
      [
        { stream: [createTask('WORKING', 1), createStatus('AUTH_REQUIRED', 2)] },
        { result: (createTask('AUTH_REQUIRED') as { task: object }).task },
      ],
      [replay],
    );
    const task = await (await connect(url)).wait('task-1');
    assert.equal(task.status.state, 'TASK_STATE_AUTH_REQUIRED');
  });

  test('gives up on errors that a repeat does not change, and after its retries', async (t) => {
    const { url, calls } = await startAgent(t, [
      { error: { code: -32001, message: 'no such task' } },
      { status: 401 },
      { status: 503 },
      { status: 503 },
    ]);
    const agent = await connect(url);
    await assert.rejects(agent.wait('task-1'), /no such task/);
    await assert.rejects(agent.wait('task-1'), UnauthorizedError);
    await assert.rejects(agent.wait('task-1', { retries: 1 }), /broke 2 times in a row/);
    assert.equal(calls.length, 4);
    const stopped = AbortSignal.abort(new Error('stopped'));
    await assert.rejects(agent.wait('task-1', { signal: stopped }), /stopped/);
  });

  test('approves the calls that a task waits for, with their hashes', async (t) => {
    const requests = [{ id: '1.1.1', tool: 'cancel', arguments: {}, argumentsHash: 'hash' }];
    const message = { messageId: 'm', role: 'ROLE_AGENT', parts: [{ data: { [approval]: { requests } } }] };
    const { task: waiting } = createTask('AUTH_REQUIRED', undefined, message) as { task: object };
    const { task: working } = createTask('WORKING') as { task: object };
    const { url, calls } = await startAgent(t, [
      { result: waiting },
      { result: { task: working } },
      { result: working },
    ]);
    const agent = await connect(url);
    await agent.approve('task-1', { approve: false, reason: 'Keep it.' });
    const { metadata, taskId, parts } = calls[1]!.params.message;
    const decision = { id: '1.1.1', argumentsHash: 'hash', approve: false, reason: 'Keep it.' };
    assert.deepEqual(metadata, { [approval]: { decisions: [decision] } });
    assert.deepEqual([taskId, parts], ['task-1', [{ text: 'Keep it.' }]]);
    await assert.rejects(agent.approve('task-1'), /waits for no approval: its state is TASK_STATE_WORKING/);
  });

  test('refuses options of webhooks that an agent would ignore', async (t) => {
    const { url } = await startAgent(t, []);
    const agent = await connect(url);
    const webhook = { url: 'https://example.com/hook', events: 'end' } as const;
    await assert.rejects(agent.addWebhook('task-1', webhook), /has no events of webhooks/);
    await assert.rejects(agent.send('hello', { webhook }), /has no events of webhooks/);
  });
});
