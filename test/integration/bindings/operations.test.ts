/**
 * The three bindings do the same (A2A section 5.1): one story with every operation and every error is told through
 * each, on the wire, and what comes back is compared. Ids and times differ; nothing else may.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { status as Status } from '@grpc/grpc-js';
import { replayExtension } from '#services/api/extensions/replay.ts';
import { freePort } from '../../support/ports.ts';
import { rawGrpc, rawJsonRpc, rawRest, type Outcome, type RawBinding } from '../../support/raw-bindings.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { startStack } from '../../support/stack.ts';

/** Section 5.4, by the reason that google.rpc.ErrorInfo gives, and JSON-RPC's own for what is malformed. */
const codes: Record<string, Record<RawBinding['name'], number>> = {
  TASK_NOT_FOUND: { JSONRPC: -32001, 'HTTP+JSON': 404, GRPC: 5 },
  TASK_NOT_CANCELABLE: { JSONRPC: -32002, 'HTTP+JSON': 400, GRPC: 9 },
  UNSUPPORTED_OPERATION: { JSONRPC: -32004, 'HTTP+JSON': 400, GRPC: 9 },
  CONTENT_TYPE_NOT_SUPPORTED: { JSONRPC: -32005, 'HTTP+JSON': 400, GRPC: 3 },
  VERSION_NOT_SUPPORTED: { JSONRPC: -32009, 'HTTP+JSON': 400, GRPC: 9 },
  INVALID_PARAMS: { JSONRPC: -32602, 'HTTP+JSON': 400, GRPC: 3 },
};

test('the bindings', async (t) => {
  const grpcPort = await freePort();
  const stack = await startStack(t, {
    AGENT_MODULE: `${import.meta.dirname}/../../support/agents/scripted.ts`,
    GRPC_PORT: String(grpcPort),
  });
  await Promise.all([stack.start('api'), stack.start('worker')]);
  const receiver = await startReceiver(t);
  const bindings = [rawJsonRpc(stack.apiUrl), rawRest(stack.apiUrl), rawGrpc(`127.0.0.1:${grpcPort}`)];
  t.after(() => bindings.forEach((binding) => binding.close()));

  // [BIND-EQUIV-001] [BIND-EQUIV-002] [BIND-EQUIV-003] [BIND-ERR-001] [GRPC-ERR-001] [HTTP_JSON-ERR-002]
  // [JSONRPC-ERR-003] [VER-PATCH-001] [VER-SERVER-002]
  await t.test('tell one story alike', async (t) => {
    const told = await Promise.all(
      bindings.map(async (binding) => {
        const outcomes = await story(binding, receiver.url);
        for (const [step, outcome] of Object.entries(outcomes)) {
          for (const { error } of Array.isArray(outcome) ? outcome : [outcome]) {
            if (error === undefined) continue;
            const code = codes[error.reason ?? '']?.[binding.name];
            assert.equal(error.code, code, `${binding.name}, ${step}: ${JSON.stringify(error)}`);
          }
        }
        return { binding, outcomes: normal(outcomes) };
      }),
    );
    const [first, ...others] = told;
    for (const { binding, outcomes } of others) {
      for (const [step, outcome] of Object.entries(outcomes)) {
        await t.test(`${binding.name}: ${step}`, () => assert.deepEqual(outcome, first!.outcomes[step]));
      }
    }
    // [CORE-GET-001] [CORE-GET-002] [CORE-CANCEL-001] [CORE-CANCEL-002] [CORE-CANCEL-003] [CORE-STREAM-001]
    // [CORE-STREAM-003] [STREAM-SUB-001] [STREAM-SUB-002] [STREAM-SUB-003] [STREAM-SUB-004] [PUSH-LIST-001]
    await t.test('and it is the right one', () => {
      const errors = Object.entries(first!.outcomes).flatMap(([step, outcome]) =>
        outcome.error === undefined ? [] : [[step, outcome.error.reason]],
      );
      assert.deepEqual(Object.fromEntries(errors), expectedErrors);
      const of = (step: string) => first!.outcomes[step];
      assert.equal(of('send and wait').result.task.status.state, 'TASK_STATE_COMPLETED');
      assert.equal(of('a direct answer').result.message.parts[0].text, 'hi');
      assert.equal(of('cancel').result.status.state, 'TASK_STATE_CANCELED');
      assert.equal(of('list').result.totalSize, 1);
      assert.equal(of('list').result.tasks[0].artifacts[0].parts[0].text, 'hello');
      assert.equal(of('read without history').result.history, undefined);
      const streamed = (step: string) => of(step).map((one: Outcome) => Object.keys(one.result)[0]);
      assert.deepEqual(streamed('stream'), ['task', 'statusUpdate', 'artifactUpdate', 'statusUpdate']);
      // [CORE-STREAM-002]
      assert.deepEqual(streamed('stream of a direct answer'), ['task', 'statusUpdate', 'statusUpdate']);
      const answer = of('stream of a direct answer').at(-1).result.statusUpdate.status.message;
      assert.equal(answer.parts[0].text, 'hi');
      assert.deepEqual(streamed('subscribe after 1'), [
        'task',
        'statusUpdate',
        'artifactUpdate',
        'statusUpdate',
      ]);
      assert.deepEqual(streamed('subscribe after 3'), ['task', 'statusUpdate']);
      assert.equal(of('subscribe after 3')[0].result.task.status.state, 'TASK_STATE_WORKING');
      const numbers = of('subscribe after 1').map(({ result }: Outcome) => {
        const [event] = Object.values<{ metadata: Record<string, { event: number }> }>(result);
        return event?.metadata[replayExtension]?.event;
      });
      assert.deepEqual(numbers, [1, 2, 3, 4]);
      for (const cursor of ['99', 'x']) {
        assert.equal(of(`subscribe after ${cursor}`)[0].error.reason, 'INVALID_PARAMS');
      }
      assert.equal(streamed('subscribe')[0], 'task');
      assert.equal(of('subscribe').at(-1).result.statusUpdate.status.state, 'TASK_STATE_COMPLETED');
      assert.equal(of('list configs').result.configs.length, 1);
      assert.equal(of('tenants: read by theirs').result.status.state, 'TASK_STATE_COMPLETED');
    });
  });

  await t.test('events over HTTP have their numbers as ids, in both versions', async () => {
    const parts = [{ text: 'say hello' }];
    const current = { messageId: randomUUID(), role: 'ROLE_USER', parts };
    const legacy = {
      ...current,
      role: 'user',
      kind: 'message',
      parts: [{ kind: 'text', text: 'say hello' }],
    };
    const rpc = (method: string, message: object) => ({ jsonrpc: '2.0', id: 1, method, params: { message } });
    const asked: [path: string, version: string, body: object][] = [
      ['/a2a/jsonrpc', '1.0', rpc('SendStreamingMessage', current)],
      ['/a2a/v1/message:stream', '1.0', { message: current }],
      ['/a2a/jsonrpc', '0.3', rpc('message/stream', legacy)],
      ['/a2a/v1/message:stream', '', { message: { ...current, parts: undefined, content: parts } }],
    ];
    for (const [path, version, body] of asked) {
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

  await t.test('gRPC alone, on the port that HTTP has elsewhere, and its end', async (t) => {
    const port = String(await freePort());
    const alone = { PORT: port, API_BINDINGS: 'grpc', GRPC_PORT: '', GRPC_PUBLIC_TARGET: '' };
    const service = await stack.start('api', alone);
    assert.equal(service.url, `grpc://127.0.0.1:${port}`);
    const binding = rawGrpc(`127.0.0.1:${port}`);
    t.after(() => binding.close());
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'wait 60000' }] };
    const events = binding.stream('SendStreamingMessage', { message });
    assert.ok((await events.next()).value?.result?.task.id);
    service.running.child.kill('SIGTERM');
    // The stream ends with what to do, rather than breaking, and the task goes on.
    let last: Outcome | undefined;
    for await (const outcome of events) last = outcome;
    assert.equal(last?.error?.code, Status.UNAVAILABLE);
    assert.match(last?.error?.message ?? '', /Subscribe/);
    assert.deepEqual(await service.running.exited, { code: 0, signal: null });
  });
});

const expectedErrors = {
  'read: not there': 'TASK_NOT_FOUND',
  'read: negative history': 'INVALID_PARAMS',
  'send: to a task at its end': 'UNSUPPORTED_OPERATION',
  'send: to no task': 'TASK_NOT_FOUND',
  'send: about no task': 'TASK_NOT_FOUND',
  'send: no parts': 'INVALID_PARAMS',
  'send: no message': 'INVALID_PARAMS',
  'send: a media type that is not taken': 'CONTENT_TYPE_NOT_SUPPORTED',
  'send: nothing that is answered in': 'CONTENT_TYPE_NOT_SUPPORTED',
  'send: the id of another message': 'INVALID_PARAMS',
  'list: page too large': 'INVALID_PARAMS',
  'list: page of another list': 'INVALID_PARAMS',
  'cancel: not there': 'TASK_NOT_FOUND',
  'cancel: at its end': 'TASK_NOT_CANCELABLE',
  'configs: of no task': 'TASK_NOT_FOUND',
  'configs: a refused address': 'INVALID_PARAMS',
  'configs: deleted': 'TASK_NOT_FOUND',
  'no extended card': 'UNSUPPORTED_OPERATION',
  'version of the future': 'VERSION_NOT_SUPPORTED',
  'tenants: read by others': 'TASK_NOT_FOUND',
};

// oxlint-disable-next-line typescript/no-explicit-any -- outcomes are looked at field by field
type Steps = Record<string, any>;

async function story(binding: RawBinding, hook: string): Promise<Steps> {
  const steps: Steps = {};
  const { call } = binding;
  const send = (text: string, more: object = {}, configuration: object = {}) => ({
    message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...more },
    configuration,
  });
  const collect = async (
    operation: string,
    params: Record<string, unknown>,
    headers?: Record<string, string>,
  ): Promise<Outcome[]> => {
    const outcomes: Outcome[] = [];
    for await (const outcome of binding.stream(operation, params, undefined, headers)) outcomes.push(outcome);
    return outcomes;
  };
  const none = randomUUID();

  const whole = send('say hello');
  steps['send and wait'] = await call('SendMessage', whole);
  const { id, contextId } = steps['send and wait'].result.task;
  steps['send again'] = await call('SendMessage', whole);
  steps['send: the id of another message'] = await call('SendMessage', {
    ...whole,
    message: { ...whole.message, parts: [{ text: 'say something else' }] },
  });
  steps['a direct answer'] = await call('SendMessage', send('direct hi'));
  steps['read'] = await call('GetTask', { id });
  steps['read without history'] = await call('GetTask', { id, historyLength: 0 });
  steps['read: not there'] = await call('GetTask', { id: none });
  steps['read: negative history'] = await call('GetTask', { id, historyLength: -1 });
  steps['send: to a task at its end'] = await call('SendMessage', send('say more', { taskId: id }));
  steps['send: to no task'] = await call('SendMessage', send('say more', { taskId: none }));
  steps['send: about no task'] = await call(
    'SendMessage',
    send('say more', { referenceTaskIds: [id, none] }),
  );
  steps['send: about a task'] = await call('SendMessage', send('say more', { referenceTaskIds: [id] }));
  steps['send: no parts'] = await call('SendMessage', send('', { parts: [] }));
  steps['send: no message'] = await call('SendMessage', {});
  steps['send: a media type that is not taken'] = await call(
    'SendMessage',
    send('', { parts: [{ text: 'x', mediaType: 'video/mp4' }] }),
  );
  steps['send: nothing that is answered in'] = await call(
    'SendMessage',
    send('say hello', {}, { acceptedOutputModes: ['image/png', 'audio/*'] }),
  );

  const slow = await call('SendMessage', send('wait 60000', {}, { returnImmediately: true }));
  assert.equal(slow.result.task.status.state, 'TASK_STATE_SUBMITTED');
  steps['cancel'] = await call('CancelTask', { id: slow.result.task.id });
  steps['cancel: at its end'] = await call('CancelTask', { id: slow.result.task.id });
  steps['cancel: not there'] = await call('CancelTask', { id: none });

  const list = { contextId, status: 'TASK_STATE_COMPLETED', includeArtifacts: true, pageSize: 5 };
  steps['list'] = await call('ListTasks', list);
  steps['list: nothing'] = await call('ListTasks', { contextId: none });
  steps['list: page too large'] = await call('ListTasks', { pageSize: 1000 });
  steps['list: page of another list'] = await call('ListTasks', { pageToken: 'bm8' });

  steps['stream'] = await collect('SendStreamingMessage', send('say streamed'));
  steps['stream of a direct answer'] = await collect('SendStreamingMessage', send('direct hi'));
  steps['stream: no parts'] = await collect('SendStreamingMessage', send('', { parts: [] }));
  const asked = await call('SendMessage', send('ask what?'));
  const taskId: string = asked.result.task.id;
  const subscribed: Outcome[] = [];
  for await (const event of binding.stream('SubscribeToTask', { id: taskId })) {
    if (subscribed.length === 0) await call('SendMessage', send('say answered', { taskId }));
    subscribed.push(event);
  }
  steps['subscribe'] = subscribed;
  const streamed = steps['stream'][0].result.task.id;
  for (const cursor of ['1', '3', '99', 'x']) {
    const headers = { 'last-event-id': cursor };
    steps[`subscribe after ${cursor}`] = await collect('SubscribeToTask', { id: streamed }, headers);
  }
  steps['subscribe: at its end'] = await collect('SubscribeToTask', { id });
  steps['subscribe: not there'] = await collect('SubscribeToTask', { id: none });

  const config = {
    id: 'mine',
    url: hook,
    token: 'secret',
    authentication: { scheme: 'Bearer', credentials: 'x' },
  };
  steps['create config'] = await call('CreateTaskPushNotificationConfig', { taskId: id, ...config });
  steps['get config'] = await call('GetTaskPushNotificationConfig', { taskId: id, id: 'mine' });
  steps['list configs'] = await call('ListTaskPushNotificationConfigs', { taskId: id, pageSize: 3 });
  steps['delete config'] = await call('DeleteTaskPushNotificationConfig', { taskId: id, id: 'mine' });
  // [PUSH-DEL-002]
  steps['delete it again'] = await call('DeleteTaskPushNotificationConfig', { taskId: id, id: 'mine' });
  steps['configs: deleted'] = await call('GetTaskPushNotificationConfig', { taskId: id, id: 'mine' });
  steps['configs: of no task'] = await call('CreateTaskPushNotificationConfig', { taskId: none, ...config });
  steps['configs: a refused address'] = await call('CreateTaskPushNotificationConfig', {
    taskId: id,
    url: 'http://10.0.0.1/hook',
  });

  steps['no extended card'] = await call('GetExtendedAgentCard', {});
  steps['version of the future'] = await call('GetTask', { id }, { 'a2a-version': '9.9' });
  steps['a patch number'] = await call('GetTask', { id }, { 'a2a-version': '1.0.3' });

  const tenant = 'acme';
  const theirs = await call('SendMessage', { tenant, ...send('say ours') });
  steps['tenants: read by theirs'] = await call('GetTask', { tenant, id: theirs.result.task.id });
  steps['tenants: read by others'] = await call('GetTask', { id: theirs.result.task.id });
  steps['tenants: stream'] = await collect('SendStreamingMessage', { tenant, ...send('say ours') });
  return steps;
}

/** Ids become the order in which they appear, times become one time, and codes are the binding's own. */
function normal(steps: Steps): Steps {
  const ids = new Map<string, string>();
  const text = JSON.stringify(steps, (key, value: unknown) => (key === 'code' ? undefined : value))
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => {
      if (!ids.has(id)) ids.set(id, `#${ids.size}`);
      return ids.get(id)!;
    })
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'T');
  // ProtoJSON may leave out what is empty: JSON bindings do so, but for lists of tasks.
  return JSON.parse(text, (_key, value: unknown) => (isEmpty(value) ? undefined : value)) as Steps;
}

function isEmpty(value: unknown): boolean {
  return value === '' || value === 0 || value === null || (Array.isArray(value) && value.length === 0);
}
