/** A client of openapi-fetch, with the types of openapi-typescript. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import createClient from 'openapi-fetch';
import type { components, paths } from './generated/schema.js';

const baseUrl = process.argv[2] ?? '';
const client = createClient<paths>({ baseUrl });
const header = { 'A2A-Version': '1.0' } as const;

function toMessage(text: string): components['schemas']['Message'] {
  return { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] };
}

async function send(text: string): Promise<components['schemas']['Task']> {
  const { data, error } = await client.POST('/a2a/v1/message:send', {
    params: { header },
    body: { message: toMessage(text), configuration: { returnImmediately: true } },
  });
  assert.ok(data !== undefined, error?.error.message);
  assert.ok('task' in data);
  return data.task;
}

const { id } = await send('wait 60000');
const read = await client.GET('/a2a/v1/tasks/{id}', { params: { header, path: { id } } });
assert.equal(read.data?.id, id);
const state: components['schemas']['TaskStatus']['state'] | undefined = read.data?.status.state;
assert.ok(state === 'TASK_STATE_SUBMITTED' || state === 'TASK_STATE_WORKING');

const listed = await client.GET('/a2a/v1/tasks', { params: { header, query: { pageSize: 10 } } });
assert.ok(listed.data?.tasks.some((task) => task.id === id));

const missing = await client.GET('/a2a/v1/tasks/{id}', { params: { header, path: { id: randomUUID() } } });
assert.equal(missing.error?.error.status, 'NOT_FOUND');

const created = await client.POST('/a2a/v1/tasks/{taskId}/pushNotificationConfigs', {
  params: { header, path: { taskId: id } },
  body: { id: 'hook', url: 'http://127.0.0.1:9/hook', token: 'secret' },
});
assert.equal(created.data?.id, 'hook');
const hooks = await client.GET('/a2a/v1/tasks/{taskId}/webhooks', { params: { path: { taskId: id } } });
assert.deepEqual(
  hooks.data?.webhooks.map(({ state, hasToken }) => [state, hasToken]),
  [['active', true]],
);
const removed = await client.DELETE('/a2a/v1/tasks/{taskId}/pushNotificationConfigs/{id}', {
  params: { header, path: { taskId: id, id: 'hook' } },
});
assert.equal(removed.response.status, 200);

const canceled = await client.POST('/a2a/v1/tasks/{id}:cancel', { params: { header, path: { id } } });
assert.equal(canceled.data?.status.state, 'TASK_STATE_CANCELED');

const timeline = await client.GET('/a2a/v1/tasks/{taskId}/timeline', { params: { path: { taskId: id } } });
assert.equal(timeline.data?.state, 'TASK_STATE_CANCELED');
const stats = await client.GET('/a2a/v1/stats');
assert.equal(stats.data?.states.TASK_STATE_CANCELED, 1);

const scheduled = await client.PUT('/a2a/v1/schedules/{id}', {
  params: { path: { id: 'weekly' } },
  body: { cron: '0 9 * * 1', request: { message: { role: 'ROLE_USER', parts: [{ text: 'say hello' }] } } },
});
assert.equal(scheduled.data?.timeZone, 'UTC');
await client.DELETE('/a2a/v1/schedules/{id}', { params: { path: { id: 'weekly' } } });
