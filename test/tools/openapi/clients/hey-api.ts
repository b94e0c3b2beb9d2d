/** A client of @hey-api/openapi-ts. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { client } from './generated/hey-api/client.gen.js';
import {
  cancelTask,
  createTaskPushNotificationConfig,
  deleteTaskPushNotificationConfig,
  getStats,
  getTask,
  getTimeline,
  listTasks,
  listWebhooks,
  searchTasks,
  sendMessage,
  sendStreamingMessage,
} from './generated/hey-api/sdk.gen.js';
import type { Message, StreamResponse, Task } from './generated/hey-api/types.gen.js';

client.setConfig({ baseUrl: process.argv[2] ?? '' });
const headers = { 'A2A-Version': '1.0' } as const;

function toMessage(text: string): Message {
  return { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] };
}

async function send(text: string): Promise<Task> {
  const body = { message: toMessage(text), configuration: { returnImmediately: true } };
  const { data } = await sendMessage({ headers, body, throwOnError: true });
  assert.ok('task' in data);
  return data.task;
}

const { id } = await send('wait 60000');
const read = await getTask({ headers, path: { id } });
assert.equal(read.data?.id, id);
const listed = await listTasks({ headers, query: { pageSize: 10 } });
assert.ok(listed.data?.tasks.some((task) => task.id === id));

const missing = await getTask({ headers, path: { id: randomUUID() } });
assert.equal(missing.response?.status, 404);
assert.ok(missing.error !== undefined && 'error' in missing.error);
assert.equal(missing.error.error.status, 'NOT_FOUND');

const { stream } = await sendStreamingMessage({
  headers,
  body: { message: toMessage('say hello') },
  // Otherwise it repeats a request that is refused.
  sseMaxRetryAttempts: 1,
  onSseError: (error) => {
    throw error;
  },
});
const events: StreamResponse[] = [];
for await (const event of stream) events.push(event);
const artifacts = events.flatMap((event) =>
  'artifactUpdate' in event ? [event.artifactUpdate.artifact] : [],
);
assert.deepEqual(artifacts[0]?.parts, [{ text: 'hello' }]);

const config = { id: 'hook', url: 'http://127.0.0.1:9/hook', token: 'secret' };
const created = await createTaskPushNotificationConfig({ headers, path: { taskId: id }, body: config });
assert.equal(created.data?.id, 'hook');
const hooks = await listWebhooks({ path: { taskId: id } });
assert.deepEqual(
  hooks.data?.webhooks.map(({ url }) => url),
  [config.url],
);
await deleteTaskPushNotificationConfig({ headers, path: { taskId: id, id: 'hook' }, throwOnError: true });

const canceled = await cancelTask({ headers, path: { id } });
assert.equal(canceled.data?.status.state, 'TASK_STATE_CANCELED');
const timeline = await getTimeline({ path: { taskId: id } });
assert.ok(timeline.data !== undefined);
const found = await searchTasks({ query: { state: 'TASK_STATE_CANCELED' } });
assert.ok(found.data?.tasks.some(({ taskId }) => taskId === id));
assert.ok((await getStats()).data !== undefined);
