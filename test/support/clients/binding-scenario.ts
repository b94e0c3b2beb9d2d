/** A scenario of all operations and errors of A2A, run through one binding on the wire. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { retryUnavailable, type Outcome, type RawBinding } from './raw-bindings.ts';
import type { AnyJson } from './any-json.ts';

export type Steps = Record<string, AnyJson>;

/** Runs every operation and provokes every error once. Returns the outcomes by the name of the step. */
export async function runScenario(raw: RawBinding, webhookUrl: string): Promise<Steps> {
  const steps: Steps = {};
  const binding = retryUnavailable(raw);
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
  const missing = randomUUID();

  const whole = send('say hello');
  steps['send and wait'] = await call('SendMessage', whole);
  assert.equal(steps['send and wait'].error, undefined, binding.name);
  const { id, contextId } = steps['send and wait'].result.task;
  steps['send again'] = await call('SendMessage', whole);
  steps['send: messageId of another message'] = await call('SendMessage', {
    ...whole,
    message: { ...whole.message, parts: [{ text: 'say something else' }] },
  });
  steps['a direct answer'] = await call('SendMessage', send('direct hi'));
  steps['a further message in the context of a direct answer'] = await call(
    'SendMessage',
    send('direct hi again', { contextId: steps['a direct answer'].result.message.contextId }),
  );
  steps['send: null as data'] = await call(
    'SendMessage',
    send('', { parts: [{ text: 'data null' }, { data: null }, { data: [null] }, { text: '' }] }),
  );
  steps['read'] = await call('GetTask', { id });
  steps['read: without history'] = await call('GetTask', { id, historyLength: 0 });
  steps['read: missing task'] = await call('GetTask', { id: missing });
  steps['read: negative history'] = await call('GetTask', { id, historyLength: -1 });
  steps['send: to an ended task'] = await call('SendMessage', send('say more', { taskId: id }));
  steps['send: to a missing task'] = await call('SendMessage', send('say more', { taskId: missing }));
  steps['send: references a missing task'] = await call(
    'SendMessage',
    send('say more', { referenceTaskIds: [id, missing] }),
  );
  steps['send: references a task'] = await call('SendMessage', send('say more', { referenceTaskIds: [id] }));
  steps['send: no parts'] = await call('SendMessage', send('', { parts: [] }));
  steps['send: no message'] = await call('SendMessage', {});
  steps['send: unsupported media type'] = await call(
    'SendMessage',
    send('', { parts: [{ text: 'x', mediaType: 'video/mp4' }] }),
  );
  steps['send: no supported output mode'] = await call(
    'SendMessage',
    send('say hello', {}, { acceptedOutputModes: ['image/png', 'audio/*'] }),
  );

  const slow = await call('SendMessage', send('wait 60000', {}, { returnImmediately: true }));
  assert.equal(slow.result.task.status.state, 'TASK_STATE_SUBMITTED');
  steps['cancel'] = await call('CancelTask', { id: slow.result.task.id });
  steps['cancel: ended task'] = await call('CancelTask', { id: slow.result.task.id });
  steps['cancel: missing task'] = await call('CancelTask', { id: missing });

  const list = { contextId, status: 'TASK_STATE_COMPLETED', includeArtifacts: true, pageSize: 5 };
  steps['list'] = await call('ListTasks', list);
  steps['list: nothing'] = await call('ListTasks', { contextId: missing });
  steps['list: page too large'] = await call('ListTasks', { pageSize: 1000 });
  steps['list: page of another list'] = await call('ListTasks', { pageToken: 'bm8' });

  steps['stream'] = await collect('SendStreamingMessage', send('say streamed'));
  steps['stream: without history'] = await collect(
    'SendStreamingMessage',
    send('data null', {}, { historyLength: 0 }),
  );
  steps['stream of a direct answer'] = await collect('SendStreamingMessage', send('direct hi'));
  steps['stream: no parts'] = await collect('SendStreamingMessage', send('', { parts: [] }));
  const interrupted = await call('SendMessage', send('ask what?'));
  const taskId: string = interrupted.result.task.id;
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
  steps['subscribe: ended task'] = await collect('SubscribeToTask', { id });
  steps['subscribe: missing task'] = await collect('SubscribeToTask', { id: missing });

  const config = {
    id: 'mine',
    url: webhookUrl,
    token: 'secret',
    authentication: { scheme: 'Bearer', credentials: 'x' },
  };
  steps['create config'] = await call('CreateTaskPushNotificationConfig', { taskId: id, ...config });
  steps['get config'] = await call('GetTaskPushNotificationConfig', { taskId: id, id: 'mine' });
  steps['list configs'] = await call('ListTaskPushNotificationConfigs', { taskId: id, pageSize: 3 });
  steps['delete config'] = await call('DeleteTaskPushNotificationConfig', { taskId: id, id: 'mine' });
  // [PUSH-DEL-002]
  steps['delete config again'] = await call('DeleteTaskPushNotificationConfig', { taskId: id, id: 'mine' });
  steps['configs: deleted config'] = await call('GetTaskPushNotificationConfig', { taskId: id, id: 'mine' });
  steps['configs: missing task'] = await call('CreateTaskPushNotificationConfig', {
    taskId: missing,
    ...config,
  });
  steps['configs: refused URL'] = await call('CreateTaskPushNotificationConfig', {
    taskId: id,
    url: 'http://10.0.0.1/hook',
  });

  steps['no extended card'] = await call('GetExtendedAgentCard', {});
  steps['unsupported version'] = await call('GetTask', { id }, { 'a2a-version': '9.9' });
  steps['version with a patch number'] = await call('GetTask', { id }, { 'a2a-version': '1.0.3' });

  const tenant = 'acme';
  const tenantTask = await call('SendMessage', { tenant, ...send('say ours') });
  steps['tenants: read by the same tenant'] = await call('GetTask', {
    tenant,
    id: tenantTask.result.task.id,
  });
  steps['tenants: read by another tenant'] = await call('GetTask', { id: tenantTask.result.task.id });
  steps['tenants: stream'] = await collect('SendStreamingMessage', { tenant, ...send('say ours') });
  return steps;
}

/**
 * Numbers ids in the order of their appearance, replaces all times by one, and drops codes, which depend on the
 * binding.
 */
export function normalize(steps: Steps): Steps {
  const ids = new Map<string, string>();
  const text = JSON.stringify(steps, (key, value: unknown) => (key === 'code' ? undefined : value))
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => {
      if (!ids.has(id)) ids.set(id, `#${ids.size}`);
      return ids.get(id)!;
    })
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'T');
  // ProtoJSON may omit empty fields. The JSON bindings do, except in lists of tasks. An empty result is null in JSON-RPC.
  return JSON.parse(text, (key, value: unknown) =>
    isEmpty(value) || (key === 'result' && isNothing(value)) ? undefined : value,
  ) as Steps;
}

function isEmpty(value: unknown): boolean {
  return value === '' || value === 0 || (Array.isArray(value) && value.length === 0);
}

function isNothing(value: unknown): boolean {
  return value === null || (typeof value === 'object' && Object.keys(value).length === 0);
}
