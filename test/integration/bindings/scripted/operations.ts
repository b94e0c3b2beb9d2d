/**
 * The three bindings behave the same (A2A section 5.1). One scenario with all operations and errors runs
 * through each of them on the wire, and the outcomes are compared. Only ids and times may differ.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { status as Status } from '@grpc/grpc-js';
import { replayExtension } from '#services/api/extensions/replay.ts';
import { normalize, runScenario, type Steps } from '../../../support/clients/binding-scenario.ts';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { freePort } from '../../../support/network/ports.ts';
import {
  createRawGrpc,
  createRawJsonRpc,
  createRawRest,
  type Outcome,
  type RawBinding,
} from '../../../support/clients/raw-bindings.ts';
import { startReceiver } from '../../../support/webhooks/receiver.ts';
import { grpcPort, stack } from './stack.ts';
import type { AnyJson } from '../../../support/clients/any-json.ts';

/** The codes of section 5.4 by the reason in google.rpc.ErrorInfo. */
const codes: Record<string, Record<RawBinding['name'], number>> = {
  TASK_NOT_FOUND: { JSONRPC: -32001, 'HTTP+JSON': 404, GRPC: 5 },
  TASK_NOT_CANCELABLE: { JSONRPC: -32002, 'HTTP+JSON': 400, GRPC: 9 },
  UNSUPPORTED_OPERATION: { JSONRPC: -32004, 'HTTP+JSON': 400, GRPC: 9 },
  CONTENT_TYPE_NOT_SUPPORTED: { JSONRPC: -32005, 'HTTP+JSON': 400, GRPC: 3 },
  VERSION_NOT_SUPPORTED: { JSONRPC: -32009, 'HTTP+JSON': 400, GRPC: 9 },
  INVALID_PARAMS: { JSONRPC: -32602, 'HTTP+JSON': 400, GRPC: 3 },
};

describe('the three bindings', () => {
  const cleanup = createSuiteCleanup();
  /** The outcomes of each step of the scenario, by binding. Ids, times and codes are normalized. */
  let results: { binding: RawBinding; raw: Steps; outcomes: Steps }[];

  before(async () => {
    const receiver = await startReceiver(cleanup);
    const bindings = [
      createRawJsonRpc(stack.apiUrl),
      createRawRest(stack.apiUrl),
      createRawGrpc(`127.0.0.1:${grpcPort}`),
    ];
    cleanup.after(() => bindings.forEach((binding) => binding.close()));
    results = await Promise.all(
      bindings.map(async (binding) => {
        const raw = await runScenario(binding, receiver.url);
        return { binding, raw, outcomes: normalize(raw) };
      }),
    );
  });

  // [BIND-ERR-001] [GRPC-ERR-001] [HTTP_JSON-ERR-002] [JSONRPC-ERR-003]
  test('report every error with the code of its reason', () => {
    for (const { binding, raw } of results) {
      for (const [step, outcome] of Object.entries(raw)) {
        for (const { error } of Array.isArray(outcome) ? outcome : [outcome]) {
          if (error === undefined) continue;
          const code = codes[error.reason ?? '']?.[binding.name];
          assert.equal(error.code, code, `${binding.name}, ${step}: ${JSON.stringify(error)}`);
        }
      }
    }
  });

  // [BIND-EQUIV-001] [BIND-EQUIV-002] [BIND-EQUIV-003] [VER-PATCH-001] [VER-SERVER-002]
  test('return the same outcome for every step', () => {
    const [first, ...others] = results;
    for (const { binding, outcomes } of others) {
      assert.deepEqual(Object.keys(outcomes), Object.keys(first!.outcomes));
      for (const [step, outcome] of Object.entries(outcomes)) {
        assert.deepEqual(outcome, first!.outcomes[step], `${binding.name}: ${step}`);
      }
    }
  });

  // [CORE-GET-001] [CORE-GET-002] [CORE-CANCEL-001] [CORE-CANCEL-002] [CORE-CANCEL-003] [CORE-STREAM-001]
  // [CORE-STREAM-003] [STREAM-SUB-001] [STREAM-SUB-002] [STREAM-SUB-003] [STREAM-SUB-004] [PUSH-LIST-001]
  test('return the outcomes that the specification requires', () => {
    const [first] = results;
    const errors = Object.entries(first!.outcomes).flatMap(([step, outcome]) =>
      outcome.error === undefined ? [] : [[step, outcome.error.reason]],
    );
    assert.deepEqual(Object.fromEntries(errors), expectedErrors);
    const get = (step: string) => first!.outcomes[step];
    assert.equal(get('send and wait').result.task.status.state, 'TASK_STATE_COMPLETED');
    assert.equal(get('a direct answer').result.message.parts[0].text, 'hi');
    assert.equal(get('a direct answer').result.message.taskId, undefined);
    assert.equal(
      get('a further message in the context of a direct answer').result.message.parts[0].text,
      'hi again',
    );
    const { artifacts, status, history } = get('send: null as data').result.task;
    assert.deepEqual([artifacts[0].parts, status.message.parts], [[{ data: null }], [{ data: null }]]);
    assert.deepEqual(history[0].parts.slice(1), [{ data: null }, { data: [null] }, {}]);
    const [start, , chunk, end] = get('stream: without history').map(({ result }: Outcome) => result);
    assert.equal(start.task.history, undefined);
    assert.deepEqual(chunk.artifactUpdate.artifact.parts, [{ data: null }]);
    assert.deepEqual(end.statusUpdate.status.message.parts, [{ data: null }]);
    assert.equal(get('cancel').result.status.state, 'TASK_STATE_CANCELED');
    assert.equal(get('list').result.totalSize, 1);
    assert.equal(get('list').result.tasks[0].artifacts[0].parts[0].text, 'hello');
    assert.equal(get('read: without history').result.history, undefined);
    const getEventTypes = (step: string) => get(step).map(({ result }: Outcome) => Object.keys(result)[0]);
    assert.deepEqual(getEventTypes('stream'), ['task', 'statusUpdate', 'artifactUpdate', 'statusUpdate']);
    // [CORE-STREAM-002]
    assert.deepEqual(getEventTypes('stream of a direct answer'), ['task', 'statusUpdate', 'statusUpdate']);
    const answer = get('stream of a direct answer').at(-1).result.statusUpdate.status.message;
    assert.equal(answer.parts[0].text, 'hi');
    assert.deepEqual(getEventTypes('subscribe after 1'), [
      'task',
      'statusUpdate',
      'artifactUpdate',
      'statusUpdate',
    ]);
    assert.deepEqual(getEventTypes('subscribe after 3'), ['task', 'statusUpdate']);
    assert.equal(get('subscribe after 3')[0].result.task.status.state, 'TASK_STATE_WORKING');
    const numbers = get('subscribe after 1').map(({ result }: Outcome) => {
      const [event] = Object.values<{ metadata: Record<string, { event: number }> }>(result);
      return event?.metadata[replayExtension]?.event;
    });
    assert.deepEqual(numbers, [1, 2, 3, 4]);
    for (const cursor of ['99', 'x']) {
      assert.equal(get(`subscribe after ${cursor}`)[0].error.reason, 'INVALID_PARAMS');
    }
    assert.equal(getEventTypes('subscribe')[0], 'task');
    assert.equal(get('subscribe').at(-1).result.statusUpdate.status.state, 'TASK_STATE_COMPLETED');
    assert.equal(get('list configs').result.configs.length, 1);
    assert.equal(get('tenants: read by the same tenant').result.status.state, 'TASK_STATE_COMPLETED');
  });

  test('send event numbers as SSE ids over HTTP in both versions', async () => {
    const parts = [{ text: 'say hello' }];
    const current = { messageId: randomUUID(), role: 'ROLE_USER', parts };
    const v03 = {
      ...current,
      role: 'user',
      kind: 'message',
      parts: [{ kind: 'text', text: 'say hello' }],
    };
    const rpc = (method: string, message: object) => ({ jsonrpc: '2.0', id: 1, method, params: { message } });
    const requests: [path: string, version: string, body: object][] = [
      ['/a2a/jsonrpc', '1.0', rpc('SendStreamingMessage', current)],
      ['/a2a/v1/message:stream', '1.0', { message: current }],
      ['/a2a/jsonrpc', '0.3', rpc('message/stream', v03)],
      ['/a2a/v1/message:stream', '', { message: { ...current, parts: undefined, content: parts } }],
    ];
    for (const [path, version, body] of requests) {
      const response = await fetch(`${stack.apiUrl}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'a2a-version': version },
        body: JSON.stringify(body).replace(current.messageId, randomUUID()),
      });
      assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
      const ids = [...(await response.text()).matchAll(/^id: (\d+)$/gm)].map(([, id]) => id);
      assert.deepEqual(ids, ['1', '2', '3', '4'], `${path} ${version}`);
    }
  });

  test('show null as data to clients of A2A 0.3', async () => {
    const { id } = results[0]!.raw['send: null as data'].result.task;
    const { result } = await stack.rpc('tasks/get', { id }, { 'a2a-version': '0.3' });
    const part = { kind: 'data', data: { value: null }, metadata: { data_part_compat: true } };
    assert.deepEqual([result.artifacts[0].parts[0], result.status.message.parts[0]], [part, part]);
    assert.deepEqual(result.history[0].parts[1], part);
    const rest = await fetch(`${stack.apiUrl}/a2a/v1/tasks/${id}`);
    assert.equal(rest.status, 200);
    const task = (await rest.json()) as AnyJson;
    assert.deepEqual(task.artifacts[0].parts[0].data.data, { value: null });
  });

  test('stop an EventSource that has seen the last event', async () => {
    const [{ result }, ...events] = results[0]!.raw['stream'];
    const path = `${stack.apiUrl}/a2a/v1/tasks/${result.task.id}:subscribe?A2A-Version=1.0`;
    const subscribe = (lastEvent: number) =>
      fetch(path, { headers: { 'last-event-id': String(lastEvent), accept: 'text/event-stream' } });
    assert.equal((await subscribe(events.length)).status, 200);
    assert.equal((await subscribe(events.length + 1)).status, 204);
    assert.equal((await subscribe(events.length + 2)).status, 400);
    const working = await stack.submit('wait 60000');
    const start = await fetch(path.replace(result.task.id, working.id), {
      headers: { 'last-event-id': '1' },
    });
    assert.equal(start.status, 200);
    await start.body?.cancel();
    await stack.rpc('CancelTask', { id: working.id });
  });

  test('end gRPC streams with a retryable error when a gRPC-only service stops', async (t) => {
    const port = String(await freePort());
    const alone = { PORT: port, API_BINDINGS: 'grpc', GRPC_PORT: '', GRPC_PUBLIC_TARGET: '' };
    const service = await stack.start('api', alone);
    assert.equal(service.url, `grpc://127.0.0.1:${port}`);
    const binding = createRawGrpc(`127.0.0.1:${port}`);
    t.after(() => binding.close());
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'wait 60000' }] };
    const events = binding.stream('SendStreamingMessage', { message });
    assert.ok((await events.next()).value?.result?.task.id);
    service.running.child.kill('SIGTERM');
    // The stream ends with an error that says what to do. The task continues.
    let last: Outcome | undefined;
    for await (const outcome of events) last = outcome;
    assert.equal(last?.error?.code, Status.UNAVAILABLE);
    assert.match(last?.error?.message ?? '', /Subscribe/);
    assert.deepEqual(await service.running.exited, { code: 0, signal: null });
  });
});

const expectedErrors = {
  'read: missing task': 'TASK_NOT_FOUND',
  'read: negative history': 'INVALID_PARAMS',
  'send: to an ended task': 'UNSUPPORTED_OPERATION',
  'send: to a missing task': 'TASK_NOT_FOUND',
  'send: references a missing task': 'TASK_NOT_FOUND',
  'send: no parts': 'INVALID_PARAMS',
  'send: no message': 'INVALID_PARAMS',
  'send: unsupported media type': 'CONTENT_TYPE_NOT_SUPPORTED',
  'send: no supported output mode': 'CONTENT_TYPE_NOT_SUPPORTED',
  'send: messageId of another message': 'INVALID_PARAMS',
  'list: page too large': 'INVALID_PARAMS',
  'list: page of another list': 'INVALID_PARAMS',
  'cancel: missing task': 'TASK_NOT_FOUND',
  'cancel: ended task': 'TASK_NOT_CANCELABLE',
  'configs: missing task': 'TASK_NOT_FOUND',
  'configs: refused URL': 'INVALID_PARAMS',
  'configs: deleted config': 'TASK_NOT_FOUND',
  'no extended card': 'UNSUPPORTED_OPERATION',
  'unsupported version': 'VERSION_NOT_SUPPORTED',
  'tenants: read by another tenant': 'TASK_NOT_FOUND',
};
