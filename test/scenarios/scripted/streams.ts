/** Streams from two api processes, replays after an event, and lists in pages. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { postJsonRpc, type JsonRpcAnswer } from '../../support/clients/json-rpc.ts';
import { isEventStream, readSse, type SseEvent } from '../../support/clients/sse.ts';
import { isCompleted } from '../../support/stack.ts';
import { apiUrls, stack, tool } from './stack.ts';

const replay = 'https://longhaul.dev/ext/replay/v1';
const unsupportedOperation = -32004;
const invalidParams = -32602;

describe('a stream', () => {
  interface Subscription {
    headers?: Record<string, string>;
    api?: number;
    /** Leaves the stream after this many events. */
    leaveAfter?: number;
    onEvent?: () => void;
  }

  /** Reads the events of a task until the stream ends. */
  async function subscribe(id: string, subscription: Subscription = {}): Promise<SseEvent[]> {
    const { headers = {}, api = 0, leaveAfter = Infinity, onEvent = () => {} } = subscription;
    const response = await postJsonRpc(apiUrls[api]!, 'SubscribeToTask', { id }, { headers });
    assert.ok(isEventStream(response), await describeRefusal(response));
    const events: SseEvent[] = [];
    for await (const event of readSse(response)) {
      events.push(event);
      onEvent();
      if (events.length === leaveAfter) break;
    }
    return events;
  }

  async function getRefusal(id: string, headers: Record<string, string> = {}): Promise<number | undefined> {
    const response = await postJsonRpc(stack.apiUrl, 'SubscribeToTask', { id }, { headers });
    return ((await response.json()) as JsonRpcAnswer).error?.code;
  }

  const script = 'progress one\nstream a b c d e f\nwait 300\nprogress two\nsay done';

  // [STREAM-ORDER-001] [STREAM-ORDER-002] [STREAM-ORDER-003]
  test('has the same events in the same order as every other stream of its task', async () => {
    const { id } = await stack.submit(script);
    const streams = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        subscribe(id, { headers: { 'last-event-id': '1' }, api: index % 2 }),
      ),
    );
    const ids = streams[0]!.map((event) => event.id);
    assert.deepEqual(
      ids,
      ids.map((_, index) => index + 1),
    );
    for (const events of streams) assert.deepEqual(events, streams[0]);
  });

  test('resumes on another api process after the last event', async (t) => {
    // The task does not end before the first stream has started.
    const streaming = Promise.withResolvers<number>();
    tool.answerBy(() => streaming.promise);
    t.after(() => tool.answer(200));
    const { id } = await stack.submit(script.replace('wait 300', 'step held'));
    const first = await subscribe(id, {
      headers: { 'a2a-extensions': replay },
      leaveAfter: 3,
      onEvent: () => streaming.resolve(200),
    });
    const last = first.at(-1)!.id!;
    const rest = await subscribe(id, { headers: { 'last-event-id': String(last) }, api: 1 });
    assert.equal(rest[0]?.id, last);
    assert.ok(rest[0]?.data.result.task, 'the task as of that event');
    assert.deepEqual(
      rest.map((event) => event.id),
      rest.map((_, index) => last + index),
    );
    assert.match(JSON.stringify(rest.at(-1)?.data), /TASK_STATE_COMPLETED/);
    for (const { id: number, data } of rest) {
      const payload = Object.values(data.result)[0] as { metadata: Record<string, unknown> };
      assert.deepEqual(payload.metadata[replay], { event: number });
    }
  });

  test('replays all events of an ended task, including those before an interruption', async () => {
    const { id } = await stack.submit('ask well?');
    await stack.until(id, ({ status }) => status.state === 'TASK_STATE_INPUT_REQUIRED');
    await stack.submit('say more\nsay done', { message: { taskId: id } });
    await stack.until(id, isCompleted);
    const events = await subscribe(id, { headers: { 'last-event-id': '1' } });
    assert.deepEqual(
      events.map((event) => event.id),
      [1, 2, 3, 4, 5, 6, 7],
    );
  });

  test('is refused for an ended task without a valid last event id', async () => {
    const { id } = await stack.submit('say done');
    await stack.until(id, isCompleted);
    assert.equal(await getRefusal(id), unsupportedOperation);
    assert.equal(await getRefusal(id, { 'last-event-id': '99' }), invalidParams);
    assert.equal(await getRefusal(id, { 'last-event-id': 'x' }), invalidParams);
  });
});

describe('a list of tasks', () => {
  const contextId = randomUUID();
  /** The newest first. */
  const ids: string[] = [];
  before(async () => {
    for (let index = 0; index < 7; index++) {
      ids.unshift((await stack.submit(`say ${index}`, { message: { contextId } })).id);
      await stack.until(ids[0]!, isCompleted);
    }
  });

  // [CORE-LIST-002] [CORE-LIST-003] [CORE-LIST-004] [CORE-LIST-005]
  test('has each task once over its pages, newest status first', async () => {
    const found: string[] = [];
    let pageToken = '';
    do {
      const { result } = await stack.rpc('ListTasks', { contextId, pageSize: 3, pageToken });
      assert.equal(result.totalSize, 7);
      assert.ok(result.tasks.every((task: object) => !('artifacts' in task)));
      found.push(...result.tasks.map((task: { id: string }) => task.id));
      pageToken = result.nextPageToken;
    } while (pageToken !== '');
    assert.deepEqual(found, ids);
  });

  test('refuses a page token of another query and a changed token', async () => {
    const { nextPageToken } = (await stack.rpc('ListTasks', { contextId, pageSize: 3 })).result;
    const otherQuery = await stack.rpc('ListTasks', { pageSize: 3, pageToken: nextPageToken });
    assert.equal(otherQuery.error?.code, invalidParams);
    const pageToken = `${nextPageToken.slice(0, -2)}AA`;
    const changed = await stack.rpc('ListTasks', { contextId, pageSize: 3, pageToken });
    assert.equal(changed.error?.code, invalidParams);
  });

  test('filters by state and by the time of the status', async () => {
    for (const [params, total] of [
      [{ contextId, status: 'TASK_STATE_COMPLETED' }, 7],
      [{ contextId, status: 'TASK_STATE_FAILED' }, 0],
      [{ contextId, statusTimestampAfter: new Date(Date.now() + 60_000).toISOString() }, 0],
    ] as const) {
      assert.equal((await stack.rpc('ListTasks', params)).result.totalSize, total);
    }
  });

  test('includes artifacts on request', async () => {
    const { result } = await stack.rpc('ListTasks', { contextId, includeArtifacts: true });
    assert.equal(result.tasks[0].artifacts[0].parts[0].text, '6');
  });
});

async function describeRefusal(response: Response): Promise<string> {
  return isEventStream(response) ? '' : response.text();
}
